"""All of Muster in one process tree on one data folder: the embedded parts, and every role as a child process.

``installation.py`` is the way in: it starts everything in order and ends it. ``column.py`` is the embedded parts,
``supervisor.py`` keeps the roles running, ``configuration.py`` writes the file by which other commands find it all.
Nothing here decides anything about events or cohorts.
"""

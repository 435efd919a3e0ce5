"""What is defined: followed from the mirror, the topic and a snapshot, compiled, and told to SDKs.

Where to start: ``registry.py`` (which registry is in force), ``catalog.py`` (a registry as requests need it).
"""

"""The router: raw events in, compact deltas out.

Pure: ``routes.py`` (which selectors want an event), ``batch.py`` (one batch of messages, read and sorted),
``packing.py`` (many deltas a message), ``persons.py`` (whose event it is), ``progress.py`` (through which instant
the sources are read). The shell is ``worker.py``, over the ports of ``ports.py``; ``wiring.py`` puts it on Kafka.

Where to start: ``worker.py``, whose `step` reads like the flow: poll, read, resolve, deliver, and only then mark
and commit. An invariant: what a mark or a committed offset covers has been acknowledged as deltas or dead letters,
or lies in the mark's own message.
"""

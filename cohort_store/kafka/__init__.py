"""Kafka, as both sides of the store meet it: how clients are opened, the topics, the registry's follower.

What only writes stands in ``processors/kafka/``. Foreign exceptions are translated once, into
``cohort_store.errors.Retry``. Where to start: ``clients.py`` (every client option), ``registry.py``.
"""

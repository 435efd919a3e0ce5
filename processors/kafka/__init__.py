"""Kafka adapters: clients, topics, the registry's follower, dead letters, the source and sink of the router.

Everything that imports aiokafka for the event path stands here. Foreign exceptions are translated once, into
``cohort_store.errors.Retry``. Where to start: ``clients.py`` (every client option), ``registry.py``.
"""

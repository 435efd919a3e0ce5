"""Kafka adapters of the write path: dead letters, the source and sink of the router, the members of groups.

How clients are opened, the topics and the registry's follower stand in ``cohort_store/kafka/``. Foreign exceptions
are translated once, into ``cohort_store.errors.Retry``. Where to start: ``event_source.py``, ``membership_log.py``.
"""

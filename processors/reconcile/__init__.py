"""Reconciling: whether what is stored is what the history says, all the time, and what is done where it is not.

May depend on `cohort_store`, on the flow and the ports of `processors.backfill`, and on how deltas are packed; reaches
ClickHouse, Kafka and the store through ports only.
"""

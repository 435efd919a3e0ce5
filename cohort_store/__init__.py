"""What a cohort is, and who is in it.

This package holds the domain (definitions, conditions, timelines, records, folding), the ports
through which membership is stored and read, and their adapters: in memory, and Redis under
``cohort_store/redis/``. What both sides need of Kafka and ClickHouse stands in ``cohort_store/kafka/`` and
``cohort_store/clickhouse/``.

May depend on: nothing of ``processors`` or ``evaluator``. Only those three folders import a client library. The
domain never reads a clock, opens a connection, logs or counts: time is an argument, and a decision is a returned
value.

Where to start: ``folding.py`` (the state rule and the evaluation rule), ``conditions/`` (one module
a condition), ``records.py`` (what is kept of a subject), ``ports.py`` (the commit rule).
"""

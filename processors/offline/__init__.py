"""Cohorts from a log alone, with no service running: who is a member at an instant, for `muster members` and tests.

It uses the product's own path (codecs, router's plan, timelines, conditions) over whole histories, so what it says
is exact. Where to start: `log.py` (what is read, and how), `timelines_engine.py` (members by the conditions),
`clickhouse_engine.py` (members by SQL), `definitions.py` (what is asked).
"""

"""The write path: events in, membership out, and every process that carries it.

Depends on ``cohort_store`` and on nothing of ``evaluator``: the only arrows between packages are
``processors -> cohort_store <- evaluator``. Client libraries appear in the adapter folders
(``kafka/``, ``clickhouse/``, ``http/``, ``embedded/``), in ``control/``, in the CLI and in ``wiring.py``; the
modules that decide take time as an argument, do no I/O and log nothing.
"""

"""The archive: raw events into ClickHouse, for those whose ClickHouse is not fed already.

``rows.py`` is pure; ``worker.py`` is the loop: poll, collect, insert, and only then commit. So every sound message is
in the table at least once, and the table makes that once. Bad messages are skipped here: the router buries them. A
sound one that ClickHouse refuses is found by ``halving.py``, and buried.
"""

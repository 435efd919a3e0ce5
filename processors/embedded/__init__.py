"""The embedded column: a broker, a view and a history as child processes of one data folder.

Nothing here is known to the rest of Muster, which is given addresses and cannot tell these parts from Apache
Kafka, Redis and a ClickHouse server. Each part writes its log into its folder, prints nothing, listens on
loopback only, and ends with the process that started it.

Where to start: ``broker.py``, ``view.py``, ``history.py`` (one class each: ``launch``, ``wait_ready``, ``stop``),
``child.py`` (what they share), ``chdb_server.py`` (ClickHouse's HTTP interface over chDB).
"""

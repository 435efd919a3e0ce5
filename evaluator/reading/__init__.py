"""One person as a request needs her: read together with others, and remembered for when the store is away.

Depends on the ports of ``cohort_store``; the adapters stand there. Where to start: ``steady_reading.py`` (what a
request waits for), ``coalescing.py`` (one round trip for many).
"""

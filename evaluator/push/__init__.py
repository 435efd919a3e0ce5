"""Push: what changed is told to those who listen, as server-sent events.

A change of membership only says *whose* flags to look at: they are evaluated again out of the store, and what differs
from what was told last is sent. So a change that comes twice, late or out of order does no harm. Where to start:
``hub.py`` (who listens, and what is evaluated when), ``events.py`` (what is sent).
"""

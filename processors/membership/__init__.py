"""Membership: the owner of records. Deltas in; records, member sets, timers and changes out.

Read in this order: `progress.py` (which instant is now), `shards.py` (what one step of a shard writes),
`partition.py` (what waits in messages), `owner.py` (the steps of all shards against the store), `resume.py` (where to
read from), `adoption.py` (what has to be looked up for that), `relay.py` (changes out of the outbox into Kafka),
`worker.py` (the loop), `wiring.py` (real parts).

`progress.py`, `shards.py`, `partition.py` and `resume.py` do no I/O, read no clock and log nothing.
"""

"""Filling in history: what new versions of cohorts need of the past, out of ClickHouse and into the stream of deltas.

`filling_in` is the flow, `wanted` says what is to be asked, `ports` what is needed of the world, and `asking` is how
operators ask for a run, bound it and cancel it. A seed is a delta like any other, a union of true events: it may come
before, behind or twice beside what routers send, so nothing has to stop for it. What must not be missed lies between
the two: see `filling_in`.
"""

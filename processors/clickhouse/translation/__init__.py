"""Definitions as ClickHouse SQL: what is to be kept of a history, and who is in a cohort.

`statements` has the two that are asked: `reduction` gives, for a set of conditions, the entries to keep of every
person, for Python to fold and to ask; `memberships` answers directly. Both read events and persons from subqueries
that the caller gives (`sources` has them), and have one parameter, `now`, an Int64 of milliseconds since 1970.

How a definition becomes SQL, part by part: `conditions/` has one module a kind, `selectors` says which events match,
`properties` has one function an operator, `property_values` reads JSON as `cohort_store.property_values` does, and
`literals` alone quotes what people wrote. ClickHouse 26.3 or newer is needed, for `caseFoldUTF8`.
"""

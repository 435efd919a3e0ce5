"""Whom a request is about, as she is read for it: one read of the store, only where a flag asks for what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cohort_store.properties import Properties
from evaluator.deciding.evaluation import Person
from evaluator.deciding.flags import CompiledFlag
from evaluator.definitions.catalog import TeamCatalog
from evaluator.http.service import Service
from evaluator.reading.coalescing import Read
from evaluator.reading.person_properties import Filled, fill_in


class PersonRead(NamedTuple):
    """The person that flags are decided for, and where that comes from."""

    person: Person
    read: Read | None
    """None: no flag asked for anything that is stored."""
    filled: Filled


async def read_person(
    service: Service, catalog: TeamCatalog, flags: Sequence[CompiledFlag], distinct_id: str, brought: Properties
) -> PersonRead:
    """Read what these flags need and the request did not bring; her properties only where one of them tests such."""
    wanted = wanted_properties(catalog, flags, brought)
    if not wanted and not any(flag.cohorts or flag.continuous for flag in flags):
        return PersonRead(Person(distinct_id, brought, None), None, Filled(brought))
    read = await service.reads.read(catalog.team, distinct_id, with_properties=bool(wanted))
    # A shard without a position has lost its records: that nothing is there says nothing of her then.
    is_known = read.membership is not None and read.membership.ready is not None
    filled = fill_in(brought, wanted, read.registers if is_known else None)
    return PersonRead(Person(distinct_id, filled.properties, read.membership, filled.unread, read.known), read, filled)


def wanted_properties(catalog: TeamCatalog, flags: Sequence[CompiledFlag], brought: Properties) -> frozenset[str]:
    """The kept properties that these flags test and that the request lacks."""
    if not catalog.tested:
        return frozenset()
    if len(flags) == len(catalog.flags):
        tested = catalog.tested_by_any
    else:
        tested = frozenset[str]().union(*(catalog.tested.get(flag.key, ()) for flag in flags))
    return tested - brought.keys()

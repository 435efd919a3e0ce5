"""How many persons cohorts would have, and some of them, out of the history alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cohort_store.clickhouse.client import connected
from cohort_store.definitions import Node
from processors.clickhouse.event_owners import begins, owned, stated
from processors.clickhouse.history_check import is_there
from processors.clickhouse.history_source import HistorySource
from processors.clickhouse.translation import literals
from processors.clickhouse.translation.statements import memberships

_COUNTS = """
SELECT cohort, count(), arraySort(groupArraySample({sample:UInt32}, 1)(person_id))
FROM (
%s
)
GROUP BY cohort
"""


class Previewed(NamedTuple):
    """One cohort's members."""

    members: int
    some: Sequence[str]
    """At most as many as were asked for, drawn at random, sorted."""


class Preview(NamedTuple):
    """By cohort, and the time of the team's first event; None: there is none."""

    cohorts: Mapping[str, Previewed]
    begins_ms: int | None


class Asked(NamedTuple):
    """A team's cohorts, resolved, and the members of static lists, by digest."""

    team: int
    cohorts: Mapping[str, Node]
    lists: Mapping[str, Sequence[str]]


async def preview(url: str, source: HistorySource, asked: Asked, now: int, sample: int) -> Preview:
    """Who of those whom the history knows, or the lists, would be in each cohort at `now`.

    Raises Retry where ClickHouse fails, BadHistory where it has not what is described.
    """
    team, cohorts, lists = asked
    if not await is_there(url, source):
        return Preview({key: Previewed(0, ()) for key in cohorts}, None)
    async with connected(url) as client:
        ((begins_ms, count),) = (await client.query(begins(source), {"team": team})).result_rows
        members = listed(lists)
        persons = [f"SELECT person_id FROM ({members})"] if members else []  # noqa: S608 - parts of ours
        persons += [known] if (known := stated(source)) else []
        sql = memberships(cohorts, owned(source), " UNION DISTINCT ".join(persons), members, source.states)
        counts = (_COUNTS % sql).replace("{sample:UInt32}", str(sample))
        answer = await client.query(counts, {"team": team, "now": now})
    found = {key: Previewed(int(members), tuple(some)) for key, members, some in answer.result_rows}
    return Preview({key: found.get(key, Previewed(0, ())) for key in cohorts}, int(begins_ms) if count else None)


def listed(lists: Mapping[str, Sequence[str]]) -> str:
    """A statement that selects `(digest, person_id)` of static lists; empty where nobody is in any."""
    parts = [
        f"SELECT {literals.text(digest)} AS digest, arrayJoin([{', '.join(map(literals.text, members))}]) AS person_id"
        for digest, members in lists.items()
        if members
    ]
    return " UNION ALL ".join(parts)

"""Whose a distinct id is: SQL over the archive, files read offline and the live router agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_store.errors import BadEvent
from processors.clickhouse.event_owners import owned, pairs
from processors.clickhouse.events import CREATE_SQL
from processors.clickhouse.history_source import ARCHIVE
from processors.codecs.event import Event
from processors.codecs.other_ids import alias_in
from processors.embedded.chdb_memory import Memory
from processors.offline.identities import Identities
from tests.router.building import NOW_MS, event
from tests.router.test_identities import held, routing, step

EXAMPLES, LOGS = 20, 15
"""Each example is so many logs in one table."""


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    """With the archive's table, which others call as PostHog calls its own."""
    with Memory() as engine:
        engine.command("SET max_threads = 1")
        engine.command(CREATE_SQL)
        yield engine


class Said(NamedTuple):
    """An event: what it is called, its ids, another id that it tells, and its place in time."""

    name: str
    distinct_id: str
    person: str
    other: Any
    at: int


PLAIN = st.builds(
    Said,
    st.just("buy"),
    st.sampled_from(["anon-1", "user-1"]),
    st.sampled_from(["", "p-1", "p-2"]),
    st.none(),
    st.integers(0, 5),
)
TELLING = st.builds(
    Said,
    st.sampled_from(["$identify", "$create_alias", "$merge_dangerously"]),
    st.sampled_from(["user-1", "user-2"]),
    st.sampled_from(["", "p-1"]),
    st.sampled_from(["anon-1", "anon-2", "anön", 7, "null", "", "user-1", None, ["anon-1"], True]),
    st.integers(0, 5),
)


def properties(said: Said) -> dict[str, Any]:
    word = "$anon_distinct_id" if said.name == "$identify" else "alias"
    return {} if said.other is None else {word: said.other}


def archived(memory: Memory, log: list[Said]) -> Memory:
    memory.command("TRUNCATE TABLE events")
    memory.insert(
        "events",
        [
            {
                "team_id": 1,
                "event": said.name,
                "uuid": f"00000000-0000-4000-8000-{number:012}",
                "distinct_id": said.distinct_id,
                "person_id": said.person,
                "timestamp": f"{(NOW_MS + said.at) / 1_000:.3f}",
                "properties": json.dumps(properties(said)),
                "_offset": number,
            }
            for number, said in enumerate(log)
        ],
    )
    return memory


def by_sql(memory: Memory, log: list[Said]) -> dict[str, tuple[int, str]]:
    rows = archived(memory, log).query(pairs(ARCHIVE), {"team": 1})
    return {distinct_id: (int(version), person) for distinct_id, person, version in rows}


def by_files(log: list[Said]) -> dict[str, str]:
    identities = Identities()
    for said in log:
        found = Event(
            "", said.name, 1, said.distinct_id, said.person or None, NOW_MS + said.at, 0, json.dumps(properties(said))
        )
        if said.person:
            identities.pair(said.distinct_id, said.person, found.time_ms)
        if said.name != "buy":
            with suppress(BadEvent):
                identities.tell(alias_in(found))
    return {each: identities.person_of(each) for each in {*identities.pairs, *identities.aliases}}


def apart(said: Said, number: int) -> Said:
    """With ids that are those of one log alone."""
    other = f"{number}/{said.other}" if isinstance(said.other, str) and said.other not in ("", "null") else said.other
    other = other * 100 + number if type(other) is int else other
    return said._replace(distinct_id=f"{number}/{said.distinct_id}", other=other)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.lists(PLAIN | TELLING, max_size=8), min_size=LOGS, max_size=LOGS))
def test_by_sql_and_by_files_a_distinct_id_is_the_same_persons(memory: Memory, logs: list[list[Said]]) -> None:
    log = [apart(said, number) for number, each in enumerate(logs) for said in each]
    assert {distinct_id: person for distinct_id, (_, person) in by_sql(memory, log).items()} == by_files(log)


async def test_a_router_tells_the_pairs_that_the_history_has_and_events_go_to_the_same_persons(memory: Memory) -> None:
    log = [
        Said("$identify", "user-1", "", "anon-1", 0),
        Said("$create_alias", "user-2", "p-2", 7, 1),
        Said("$identify", "user-3", "", "null", 2),
        Said("buy", "anon-1", "", None, 3),
    ]
    on = routing()
    for said in log:
        raw = event(
            said.name,
            person_id=said.person or ...,
            distinct_id=said.distinct_id,
            timestamp=NOW_MS + said.at,
            properties=properties(said),
        )
        await step(on, raw)
    assert {key[1]: pair for key, pair in held(on.sink.deltas()).items()} == by_sql(memory, log)
    rows = memory.query(owned(ARCHIVE, "event = 'buy'"), {"team": 1})
    assert [row[0] for row in rows] == ["user-1"]

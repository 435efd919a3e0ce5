"""Whose an id is, by `$identify` and aliases, and by PostHog's topic of distinct ids."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.compiling import assign
from cohort_store.deltas import PERSON_REGISTER, Delta
from cohort_store.person_updates import STATES_ABOVE
from cohort_store.registry import Registry
from cohort_store.subjects import DISTINCT_ID
from processors.codecs.event import Limits
from processors.codecs.posthog_distinct_id import PostHogDistinctIdCodec
from processors.router.progress import Source
from processors.router.worker import Router
from tests.examples import aside
from tests.router.building import CONFIG, FIRST, NOW_MS, Bench, bench, event, registry

PAIRS = Source("clickhouse_person_distinct_id", 0)
FLAGS_ALONE = assign(Registry(), [], {1: [{"key": "f"}]}, applied="", now=0)

Held = dict[tuple[int, str], tuple[int, str]]
"""(team, distinct id) → the highest (version, person), as the store keeps it."""


def identify(anonymous: Any, own: str = "user", **changes: Any) -> bytes:
    fields = {"person_id": ..., "distinct_id": own, "properties": {"$anon_distinct_id": anonymous}}
    return event("$identify", **fields | changes)


def alias(other: Any, own: str = "user", name: str = "$create_alias", **changes: Any) -> bytes:
    return event(name, **{"person_id": ..., "distinct_id": own, "properties": {"alias": other}} | changes)


def pair(distinct_id: str, person: str, version: int, **more: Any) -> bytes:
    return json.dumps(
        {"team_id": 1, "distinct_id": distinct_id, "person_id": person, "version": version, "is_deleted": 0} | more
    ).encode()


def routing(defined: Registry = FLAGS_ALONE) -> Bench:
    """A router with a source of distinct ids beside that of events."""
    on = bench(defined)
    on.source.move([FIRST, PAIRS])
    codecs = {PAIRS.topic: PostHogDistinctIdCodec(Limits())}
    on.router = Router(replace(on.router._parts, pair_codecs=codecs), CONFIG)
    return on


async def step(on: Bench, *raws: bytes, source: Source = FIRST) -> None:
    for raw in raws:
        on.log.append(source, raw, NOW_MS)
    await on.router.step()


def held(deltas: Iterable[Delta]) -> Held:
    """What the store names once these are folded, in whatever order."""
    found: Held = {}
    for delta in deltas:
        if delta.subject.kind == DISTINCT_ID:
            key = (delta.subject.team, delta.subject.id)
            (write,) = delta.registers
            assert write.name == PERSON_REGISTER
            found[key] = max((write.version, write.value), found.get(key, (-(2**63), "")))
    return found


def persons(on: Bench) -> dict[str, str]:
    return {distinct_id: person for (_, distinct_id), (_, person) in held(on.sink.deltas()).items()}


@pytest.mark.parametrize("raw", [identify("anon"), alias("anon"), alias("anon", name="$merge_dangerously")])
async def test_another_id_that_an_event_tells_is_its_persons_though_no_selector_wants_the_event(raw: bytes) -> None:
    on = routing()
    await step(on, raw)
    assert held(on.sink.deltas()) == {(1, "anon"): (NOW_MS, "user")}


async def test_the_other_id_is_the_persons_whom_the_event_names_or_whom_its_distinct_id_is_known_to_have() -> None:
    on = routing()
    on.persons.known[1, "user"] = "ann"
    await step(on, identify("anon-1"), identify("anon-2", "other", person_id="bob"))
    assert persons(on) == {"anon-1": "ann", "anon-2": "bob", "other": "bob"}
    assert on.persons.asked == [[(1, "user")]]


async def test_what_an_identified_id_does_next_counts_for_its_person_at_once() -> None:
    on = routing(registry({"event": "buy"}))
    buys = event("buy", person_id=..., distinct_id="anon")
    await step(on, identify("anon"), buys)
    await step(on, buys)
    assert [delta.subject.id for delta in on.sink.deltas() if delta.entries] == ["user", "user"]


async def test_ids_of_a_team_that_defines_nothing_are_not_told() -> None:
    on = routing()
    await step(on, identify("anon", team_id=2))
    await step(on, pair("d", "ann", 1, team_id=2), source=PAIRS)
    assert on.sink.deltas() == []


@pytest.mark.parametrize("said", [None, "", "user", ...])
async def test_an_event_that_tells_no_other_id_changes_nothing(said: Any) -> None:
    on = routing()
    await step(on, identify(said) if said is not ... else event("$identify", person_id=..., distinct_id="user"))
    assert (on.sink.deltas(), on.letters.letters) == ([], [])


@pytest.mark.parametrize("said", ["null", "Undefined", "[object Object]", "0", 0, "a\0b", "x" * 401, ["anon"], True])
async def test_an_id_that_can_be_nobodys_in_particular_is_buried_and_the_rest_of_its_event_counts(said: Any) -> None:
    on = routing(registry({"event": "$identify"}))
    raw = identify(said)
    await step(on, raw)
    (delta,) = on.sink.deltas()
    assert (delta.subject.id, len(delta.entries)) == ("user", 1)
    assert [(letter.reason, letter.value) for letter in on.letters.letters] == [("bad_id", raw)]


async def test_a_number_is_the_id_that_its_digits_are() -> None:
    on = routing()
    await step(on, identify(12345))
    assert persons(on) == {"12345": "user"}


async def test_the_topic_of_distinct_ids_outranks_what_events_say_however_late_they_are() -> None:
    on = routing(registry({"event": "buy"}))
    await step(on, pair("d", "ann", 0), source=PAIRS)
    await step(on, event("buy", distinct_id="d", person_id="bob", timestamp=NOW_MS + 1_000_000))
    assert held(on.sink.deltas()) == {(1, "d"): (STATES_ABOVE, "ann")}


async def test_every_state_of_a_distinct_id_is_told_since_its_versions_count_changes_and_not_time() -> None:
    on = routing()
    told = [("ann", 0), ("ann", 2), ("bob", 1)]
    await step(on, *(pair("d", person, version) for person, version in told), source=PAIRS)
    assert len(on.sink.deltas()) == 3
    assert held(on.sink.deltas()) == {(1, "d"): (STATES_ABOVE + 2, "ann")}


async def test_a_deleted_distinct_id_is_nobodys_and_its_events_its_own() -> None:
    on = routing(registry({"event": "buy"}))
    await step(on, pair("d", "ann", 0), pair("d", "ann", 100, is_deleted=1), source=PAIRS)
    await step(on, event("buy", person_id=..., distinct_id="d"))
    assert held(on.sink.deltas()) == {(1, "d"): (STATES_ABOVE + 100, "")}
    assert [delta.subject.id for delta in on.sink.deltas() if delta.entries] == ["d"]


async def test_a_message_of_the_topic_that_is_no_pair_is_buried() -> None:
    on = routing()
    await step(on, b"{", pair("d", "ann", 1), source=PAIRS)
    assert [(letter.topic, letter.reason) for letter in on.letters.letters] == [(PAIRS.topic, "not_json")]
    assert persons(on) == {"d": "ann"}


Said = tuple[str, str, int]
"""An id, the one that it is told to be the same person's as, and when."""

ALIASES = st.tuples(st.sampled_from(["anon-1", "anon-2"]), st.sampled_from(["user-1", "user-2"]), st.integers(0, 5))
STATES = st.tuples(st.sampled_from(["anon-1", "anon-2"]), st.sampled_from(["p-1", "p-2"]), st.integers(0, 5))


async def _told(aliases: Sequence[Said], states: Sequence[Said]) -> Held:
    """What the store names after a router that forgets between batches has read these, each in a batch of its own."""
    deltas: list[Delta] = []
    for other, own, offset_ms in aliases:
        on = routing()
        await step(on, identify(other, own, timestamp=NOW_MS + offset_ms))
        deltas += on.sink.deltas()
    on = routing()
    for distinct_id, person, version in states:
        await step(on, pair(distinct_id, person, version), source=PAIRS)
    return held([*deltas, *on.sink.deltas()])


@aside()
@given(st.lists(ALIASES, max_size=6), st.lists(STATES, max_size=4), st.randoms(use_true_random=False), st.booleans())
async def test_in_whatever_order_ids_are_told_the_same_persons_remain(
    aliases: list[Said], states: list[Said], random: Any, together: bool
) -> None:
    shuffled_aliases, shuffled_states = aliases.copy(), states.copy()
    random.shuffle(shuffled_aliases)
    random.shuffle(shuffled_states)
    expected = await _told(sorted(aliases, key=lambda said: said[2]), states)
    if not together:
        assert await _told(shuffled_aliases, shuffled_states) == expected
        return
    on = routing()
    await step(on, *(identify(other, own, timestamp=NOW_MS + at) for other, own, at in shuffled_aliases))
    await step(on, *(pair(*state) for state in shuffled_states), source=PAIRS)
    assert held(on.sink.deltas()) == expected

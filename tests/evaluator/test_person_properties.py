"""What a request does not bring of its person is filled in from what is kept, and is never made up."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cohort_store.memory import MemoryStore
from cohort_store.person_updates import STATES_ABOVE
from cohort_store.ports import Looked, Membership
from cohort_store.records import Register
from cohort_store.subjects import Subject
from evaluator.deciding.evaluation import Person, decide_all
from evaluator.definitions.catalog import TeamCatalog, compile_catalog
from evaluator.http.person_reading import wanted_properties
from evaluator.reading.coalescing import CoalescingReader
from evaluator.reading.person_properties import Filled, KeptProperty, Source, described, fill_in
from tests.evaluator.building import NOW_MS, SHARDS, flag, in_cohort, person_is, registry_of, store_people

PRO: Register = (NOW_MS, '"pro"')


def catalog_of(*flags: Mapping[str, Any]) -> TeamCatalog:
    return compile_catalog(registry_of(flags)).team(1)


def wanted(catalog: TeamCatalog, brought: Mapping[str, Any], *keys: str) -> frozenset[str]:
    flags = [catalog.flags[key] for key in keys or catalog.flags]
    return wanted_properties(catalog, flags, brought)


def test_what_the_request_lacks_is_filled_in_and_what_it_brings_stays() -> None:
    kept = {"plan": PRO, "city": (NOW_MS, '"Rome"'), "seats": (NOW_MS, "5")}
    filled = fill_in({"city": "Oslo"}, {"plan", "seats"}, kept)
    assert filled == Filled({"city": "Oslo", "plan": "pro", "seats": 5}, frozenset({"plan", "seats"}))


def test_a_null_that_the_request_brings_wins_over_what_is_kept() -> None:
    catalog = catalog_of(flag("f", {"properties": [person_is("plan", "exact", "pro")]}))
    assert wanted(catalog, {"plan": None}) == frozenset()
    assert fill_in({"plan": None}, frozenset(), {"plan": PRO}).properties == {"plan": None}


def test_a_property_that_was_unset_or_never_told_is_not_filled_in() -> None:
    assert fill_in({}, {"plan", "city"}, {"plan": (NOW_MS, "null")}) == Filled({})


def test_only_properties_that_flags_that_are_on_and_asked_for_test_are_wanted() -> None:
    catalog = catalog_of(
        flag("a", {"properties": [person_is("plan", "exact", "pro")]}, {"properties": [person_is("city", "is_set")]}),
        flag("b", {"properties": [person_is("seats", "gt", 3), in_cohort("buyers")]}),
        flag("off", {"properties": [person_is("age", "gt", 3)]}, active=False),
    )
    assert wanted(catalog, {}) == {"plan", "city", "seats"}
    assert wanted(catalog, {}, "b") == {"seats"}
    assert wanted(catalog, {"city": "Oslo"}, "a") == {"plan"}
    assert catalog.kept == {"plan", "city", "seats", "age"}


@pytest.mark.parametrize(
    ("register", "kept"),
    [
        ((NOW_MS, "[1, 2]"), KeptProperty([1, 2], Source.EVENT, NOW_MS, "2026-01-12T13:00:00.000Z")),
        ((-NOW_MS, '"ł"'), KeptProperty("ł", Source.EVENT_ONCE, NOW_MS, "2026-01-12T13:00:00.000Z")),
        ((STATES_ABOVE, "0"), KeptProperty(0, Source.STATE, 0)),
        ((STATES_ABOVE + 7, "false"), KeptProperty(False, Source.STATE, 7)),
    ],
)
def test_a_kept_property_says_who_said_it_and_when(register: Register, kept: KeptProperty) -> None:
    assert described({"p": register, "unset": (NOW_MS, "null")}, {"p", "unset", "ghost"}) == {"p": kept}


def test_where_properties_cannot_be_read_only_flags_that_look_at_them_are_answered_by_their_policy() -> None:
    catalog = catalog_of(
        flag("pro", {"properties": [person_is("plan", "exact", "pro")]}, muster={"on_unavailable": {"value": True}}),
        flag("not-pro", {"properties": [person_is("plan", "is_not", "pro")]}),
        flag("either", {}, {"properties": [person_is("plan", "exact", "pro")]}),
        flag("abroad", {"properties": [person_is("country", "exact", "NO"), person_is("plan", "exact", "pro")]}),
    )
    person = Person("ada", {"country": "IT"}, None, frozenset({"plan"}))
    answers, by_policy = decide_all(catalog.flags.values(), person, NOW_MS)
    told = {key: (answer.enabled, str(answer.reason.code)) for key, answer in answers.items()}
    assert told == {
        "pro": (True, "property_unavailable"),
        "not-pro": (False, "property_unavailable"),
        "either": (True, "condition_match"),
        "abroad": (False, "no_condition_match"),
    }
    assert by_policy == 2
    assert "property plan could not be read" in answers["pro"].reason.description


class CountingStore(MemoryStore):
    """The twin, with what each call asked for: distinct ids, memberships, records."""

    def __init__(self) -> None:
        super().__init__(SHARDS)
        self.calls: list[tuple[int, int, int]] = []

    async def look_up(
        self, distinct_ids: Sequence[tuple[int, str]], subjects: Sequence[Subject]
    ) -> tuple[list[str | None], list[Membership]]:
        self.calls.append((len(distinct_ids), len(subjects), 0))
        return await super().look_up(distinct_ids, subjects)

    async def look_up_with_records(
        self, distinct_ids: Sequence[tuple[int, str]], subjects: Sequence[Subject], recorded: Sequence[Subject]
    ) -> Looked:
        persons, memberships = await super().look_up(distinct_ids, subjects)
        self.calls.append((len(distinct_ids), len(subjects), len(recorded)))
        return Looked(persons, memberships, await self.records(recorded))


async def _filled() -> tuple[CountingStore, CoalescingReader]:
    store = CountingStore()
    await store_people(store, {"ada": [7], "bob": []}, registers={"ada": {"plan": PRO}}, pairs={"browser-1": "ada"})
    return store, CoalescingReader(store, lambda _reads, _failed: None)


async def test_records_come_in_the_same_call_and_only_for_those_who_ask_for_properties() -> None:
    store, reader = await _filled()
    ada, bob, nobody = await asyncio.gather(
        reader.read(1, "ada", with_properties=True), reader.read(1, "bob"), reader.read(1, "eve", with_properties=True)
    )
    assert store.calls == [(3, 3, 2)]
    assert (ada.registers, bob.registers, nobody.registers) == ({"plan": PRO}, None, {})
    await reader.read(1, "bob")
    assert store.calls[1:] == [(1, 1, 0)]


async def test_whoever_shares_a_read_with_somebody_who_asks_for_properties_costs_no_second_call() -> None:
    store, reader = await _filled()
    reads = await asyncio.gather(*(reader.read(1, "ada", with_properties=asks) for asks in (False, True, False)))
    assert store.calls == [(1, 1, 1)]
    assert reads[1].registers == {"plan": PRO}


async def test_a_distinct_id_answers_with_its_persons_properties() -> None:
    store, reader = await _filled()
    for calls in ([(1, 1, 1), (0, 1, 1)], [(1, 1, 1), (0, 1, 1), (1, 1, 1)]):
        read = await reader.read(1, "browser-1", with_properties=True)
        assert (read.person, read.registers) == ("ada", {"plan": PRO})
        assert store.calls == calls


async def test_a_record_that_cannot_be_read_is_its_own_persons_trouble_alone() -> None:
    class Newer(CountingStore):
        async def records(self, subjects: Sequence[Subject]) -> list[bytes | None]:
            found = await super().records(subjects)
            return [b"\x09?" if who.id == "bob" else raw for who, raw in zip(subjects, found, strict=True)]

    store = Newer()
    await store_people(store, {"ada": [7], "bob": [8]}, registers={"ada": {"plan": PRO}})
    reader = CoalescingReader(store, lambda _reads, _failed: None)
    ada, bob = await asyncio.gather(*(reader.read(1, who, with_properties=True) for who in ("ada", "bob")))
    assert ada.registers == {"plan": PRO}
    assert bob.registers is None
    assert bob.membership is not None
    assert bob.membership.handles == {8}


async def test_a_store_that_is_away_leaves_properties_unknown_and_not_absent() -> None:
    store, reader = await _filled()
    store.unreachable_for(1)
    assert (await reader.read(1, "ada", with_properties=True)).registers is None

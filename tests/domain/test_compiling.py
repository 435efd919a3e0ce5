"""From definitions to registries: which handles and versions there are, and who takes over when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.compiling import RECORD_BYTES_MAX, activate, assign, drop_retired
from cohort_store.definitions import parse_cohort
from cohort_store.errors import BadDefinition
from cohort_store.plans import compile_plan
from cohort_store.records import Record, encode_record
from cohort_store.registry import (
    Cohort,
    CohortVersion,
    Registry,
    TeamRegistry,
    VersionState,
    decode_registry,
    encode_registry,
)
from tests.domain.roll import Roll, registry_of
from tests.domain.strategies import START, Cohorts, cohort_sets
from tests.examples import aside
from tests.oracle.membership import Event, is_member

DAY = 86_400_000


def cohort(key: str = "c", **changes: Any) -> dict[str, Any]:
    return {"key": key, "when": {"kind": "performed", "event": "a", "within": "7d", **changes}}


def refers(key: str, *to: str) -> dict[str, Any]:
    return {"key": key, "when": {"any": [{"kind": "in_cohort", "cohort": each} for each in to]}}


def of(registry: Registry, key: str = "c") -> Cohort:
    found = registry.team(1).cohort(key)
    assert found is not None
    return found


def last(registry: Registry, key: str = "c") -> CohortVersion:
    return of(registry, key).versions[-1]


def kept_up(team: TeamRegistry) -> tuple[Cohort, ...]:
    return (*team.cohorts, *team.retired)


def retired(registry: Registry) -> list[tuple[str, int, int]]:
    """Key, number and the registry version of its end, of every version that is retired."""
    return [(each.key, v.number, v.retired_in) for each in registry.team(1).retired for v in each.versions]


def handles(registry: Registry) -> set[int]:
    """Every handle that the registry names."""
    teams = registry.teams.values()
    versions = {version.handle for team in teams for each in kept_up(team) for version in each.versions}
    return versions | {handle for team in teams for handle in team.selectors.values()}


def test_a_first_version_is_active_at_once_and_a_second_one_is_built_beside_it() -> None:
    first = registry_of([cohort()])
    assert [v.state for v in of(first).versions] == [VersionState.ACTIVE]
    second = registry_of([cohort(within="8d")], first)
    assert [v.state for v in of(second).versions] == [VersionState.ACTIVE, VersionState.BUILDING]
    assert [v.number for v in of(second).versions] == [1, 2]
    assert of(second).active == of(first).active
    assert last(second).replaces == last(first).handle


def test_an_unchanged_definition_keeps_its_version_its_id_and_its_handles() -> None:
    first = registry_of([cohort(), cohort("d", event="b")])
    second = registry_of([cohort("d", event="b"), cohort()], first)
    assert of(second) == of(first)
    assert of(second, "d") == of(first, "d")
    assert second.team(1).selectors == first.team(1).selectors
    assert second.next_handle == first.next_handle
    assert second.version == first.version + 1
    assert second.cohorts_version == first.cohorts_version


def test_what_people_read_may_change_without_a_new_version() -> None:
    first = registry_of([cohort()])
    second = registry_of([{**cohort(), "name": "Active", "description": "of late", "listed": False}], first)
    assert of(second).versions == of(first).versions
    assert (of(second).name, of(second).listed) == ("Active", False)
    assert of(second).source["description"] == "of late"


def test_a_list_that_is_asked_for_later_is_made_by_a_new_version_whose_members_all_join_it() -> None:
    first = registry_of([{**cohort(), "listed": False}])
    second = registry_of([cohort()], first)
    assert [version.number for version in of(second).versions] == [1, 2]
    assert of(registry_of([cohort()], second)).versions == of(second).versions


def test_a_definition_written_with_its_defaults_is_the_same_definition() -> None:
    first = registry_of([cohort()])
    second = registry_of([{**cohort(where=[]), "team": 1, "listed": True, "name": ""}], first)
    assert of(second) == of(first)


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (True, "yes"), ("a", ["a", "b"])])
def test_a_changed_value_is_an_edit_even_where_python_calls_the_two_equal(before: Any, after: Any) -> None:
    first = registry_of([cohort(where=[{"property": "p", "value": before}])])
    second = registry_of([cohort(where=[{"property": "p", "value": after}])], decode_registry(encode_registry(first)))
    assert len(of(second).versions) == 2


def test_cohorts_that_ask_for_one_and_for_true_do_not_share_their_answer() -> None:
    one, true = (cohort(key, where=[{"property": "p", "value": value}]) for key, value in (("one", 1), ("true", True)))
    roll = Roll(compile_plan(registry_of([one, true])).team(1))
    event = Event("e", "a", START, {"p": True})
    roll.receive([event], START)
    assert roll.members() == {"one": False, "true": True}
    assert [is_member(each, [event], START) for each in (one, true)] == [False, True]


def test_an_edit_of_a_referenced_cohort_makes_new_versions_of_all_that_refer_to_it() -> None:
    cohorts = [cohort("a"), refers("b", "a"), refers("c", "b"), cohort("d", event="b")]
    first = registry_of(cohorts)
    second = registry_of([cohort("a", within="8d"), *cohorts[1:]], first)
    assert {key: len(of(second, key).versions) for key in "abcd"} == {"a": 2, "b": 2, "c": 2, "d": 1}
    assert of(second, "c").source == of(first, "c").source
    assert last(second, "c").when == {"any": [{"any": [last(second, "a").when]}]}


def test_the_resolved_tree_holds_no_reference_however_deep_it_was() -> None:
    registry = registry_of([refers("c", "b", "a"), refers("b", "a"), cohort("a")])
    leaf = cohort("a")["when"]
    assert last(registry, "c").when == {"any": [{"any": [leaf]}, leaf]}


def test_handles_are_never_given_twice_over_edits_drops_and_returns() -> None:
    steps: list[list[dict[str, Any]]] = [
        [cohort("a"), cohort("b", event="b")],
        [cohort("a", within="8d")],
        [cohort("b", event="b"), cohort("x", event="x")],
        [cohort("a"), cohort("b", event="b")],
        [],
        [cohort("a")],
    ]
    registry, meaning = Registry(), dict[int, str]()
    for step in steps:
        registry = registry_of(step, registry)
        team = registry.team(1)
        named = {handle: f"selector {text}" for text, handle in team.selectors.items()}
        named |= {v.handle: f"{each.id} v{v.number}" for each in kept_up(team) for v in each.versions}
        assert len(named) == len(team.selectors) + sum(len(each.versions) for each in kept_up(team))
        for handle, meant in named.items():
            assert meaning.setdefault(handle, meant) == meant
        assert max(handles(registry)) < registry.next_handle


def test_a_cohort_dropped_and_made_again_is_another_cohort() -> None:
    first = registry_of([cohort()])
    dropped = registry_of([], first)
    assert dropped.team(1).cohort("c") is None
    again = registry_of([cohort()], dropped)
    assert of(again).id != of(first).id
    assert last(again).handle != last(first).handle
    assert again.team(1).selectors == first.team(1).selectors


def test_dropping_a_cohort_that_another_one_refers_to_is_refused() -> None:
    first = registry_of([cohort("a"), refers("b", "a")])
    with pytest.raises(BadDefinition, match="'a', which this team does not define"):
        registry_of([refers("b", "a")], first)


def test_a_refused_apply_leaves_the_registry_as_it_was() -> None:
    first = registry_of([cohort("a")])
    copy = decode_registry(encode_registry(first))
    with pytest.raises(BadDefinition):
        registry_of([cohort("a", within="9d"), refers("b", "nobody")], first)
    assert first == copy


def test_a_second_edit_takes_the_place_of_the_first_while_that_is_still_built() -> None:
    registry = registry_of([cohort(within="9d")], registry_of([cohort(within="8d")], registry_of([cohort()])))
    assert [(v.number, v.state) for v in of(registry).versions] == [
        (1, VersionState.ACTIVE),
        (3, VersionState.BUILDING),
    ]
    assert last(registry).replaces == of(registry).versions[0].handle


def test_teams_do_not_see_each_others_cohorts_and_selectors() -> None:
    registry = registry_of([cohort(), {**cohort(), "team": 2}])
    one, two = registry.team(1), registry.team(2)
    assert one.selectors.keys() == two.selectors.keys()
    assert set(one.selectors.values()).isdisjoint(two.selectors.values())
    assert one.cohorts[0].id != two.cohorts[0].id


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"kind": "performed", "event": "a", "within": "1d"}, False),
        ({"not": {"kind": "performed", "event": "a", "within": "1d"}}, True),
        ({"not": {"not": {"kind": "performed", "event": "a", "within": "1d"}}}, False),
        *(
            ({"kind": "count", "event": "a", "since": "2026-01-12", "op": op, "n": n}, expected)
            for op, n, expected in [
                ("gte", 0, True),
                ("gte", 1, False),
                ("gt", 0, False),
                ("lte", 0, True),
                ("lt", 0, False),
                ("lt", 1, True),
                ("eq", 0, True),
                ("eq", 1, False),
                ("ne", 0, False),
                ("ne", 1, True),
            ]
        ),
        ({"all": [cohort()["when"], {"not": cohort()["when"]}]}, False),
        ({"any": [cohort()["when"], {"not": cohort()["when"]}]}, True),
    ],
)
def test_a_version_is_complemented_when_it_holds_for_an_empty_history(when: dict[str, Any], expected: bool) -> None:
    assert last(registry_of([{"key": "c", "when": when}])).complemented is expected


@aside()
@given(cohort_sets())
def test_a_version_is_complemented_exactly_when_the_oracle_says_yes_for_nobody(cohorts: Cohorts) -> None:
    registry = registry_of(cohorts)
    for each in cohorts:
        assert last(registry, each["key"]).complemented is is_member(each, [], START, cohorts)


def test_nothing_is_activated_before_every_shard_has_folded_it() -> None:
    second = registry_of([cohort(within="8d")], registry_of([cohort()]))
    assert activate(second, ready=second.version - 1) is second
    third = activate(second, ready=second.version)
    assert third.version == third.cohorts_version == second.version + 1
    assert [(v.number, v.state) for v in of(third).versions] == [(2, VersionState.ACTIVE)]
    assert activate(third, ready=third.version) is third


def test_a_version_that_is_replaced_is_kept_up_and_told_to_nobody_until_it_is_dropped() -> None:
    first = registry_of([cohort()])
    building = registry_of([cohort(within="8d")], first)
    edited = activate(building, building.version)
    assert retired(edited) == [("c", 1, edited.version)]
    old, new = last(first).handle, last(edited).handle
    plan = compile_plan(edited).team(1)
    assert [(c.handle, c.active) for c in plan.cohorts] == [(new, True), (old, False)]
    gone = drop_retired(edited, edited.version)
    assert gone.version == gone.cohorts_version == edited.version + 1
    assert (edited.readers_from, gone.readers_from) == (0, edited.version)
    assert [c.handle for c in compile_plan(gone).team(1).cohorts] == [new]


def test_what_was_active_in_a_cohort_that_is_dropped_is_kept_up_and_what_was_building_is_not() -> None:
    first = registry_of([cohort(), cohort("d")])
    building = registry_of([cohort(within="8d"), cohort("d")], first)
    pruned = registry_of([cohort("d")], building)
    assert pruned.team(1).cohort("c") is None
    assert retired(pruned) == [("c", 1, pruned.version)]
    assert pruned.cohorts_version == pruned.version
    assert retired(registry_of([], pruned)) == [("c", 1, pruned.version), ("d", 1, pruned.version + 1)]


def test_what_was_retired_is_dropped_by_the_registry_version_that_retired_it() -> None:
    first = registry_of([cohort(), cohort("d")])
    one = registry_of([cohort("d")], first)
    both = registry_of([], one)
    assert drop_retired(both, one.version - 1) is both
    assert retired(drop_retired(both, one.version)) == [("d", 1, both.version)]
    assert retired(drop_retired(both, both.version)) == []


def test_an_edit_while_an_earlier_version_is_still_kept_up_keeps_both_up() -> None:
    registry, ended = registry_of([cohort()]), list[int]()
    for within in ("8d", "9d"):
        registry = registry_of([cohort(within=within)], registry)
        registry = activate(registry, registry.version)
        ended.append(registry.version)
    assert retired(registry) == [("c", 1, ended[0]), ("c", 2, ended[1])]
    assert of(registry).versions == (last(registry),)


def test_all_that_one_edit_changed_takes_over_at_once() -> None:
    cohorts = [cohort("a"), refers("b", "a"), refers("c", "b")]
    second = registry_of([cohort("a", within="8d"), *cohorts[1:]], registry_of(cohorts))
    third = activate(second, ready=second.version)
    assert {key: [v.number for v in of(third, key).versions] for key in "abc"} == {"a": [2], "b": [2], "c": [2]}


def test_what_is_linked_by_references_waits_for_the_last_of_it() -> None:
    """The second edit changes a referrer of the first: swapping only one of the two would show them disagreeing."""
    cohorts = [cohort("a"), refers("b", "a"), cohort("other", event="x")]
    first = registry_of(cohorts)
    second = registry_of([cohort("a", within="8d"), cohorts[1], cohort("other", event="y")], first)
    both = {"key": "b", "when": {"all": [{"kind": "in_cohort", "cohort": "a"}]}}
    third = registry_of([cohort("a", within="8d"), both, cohort("other", event="y")], second)
    partly = activate(third, ready=second.version)
    assert of(partly, "a").active == of(first, "a").active
    assert of(partly, "b").active == of(first, "b").active
    assert of(partly, "other").versions[0].handle == last(second, "other").handle
    wholly = activate(partly, ready=third.version)
    assert [of(wholly, key).versions[0].number for key in ("a", "b", "other")] == [2, 3, 2]


def test_a_registry_read_back_from_its_bytes_compiles_to_the_same_handles() -> None:
    registry = registry_of([cohort("a"), refers("b", "a"), {"key": "n", "when": {"not": cohort()["when"]}}])
    read = decode_registry(encode_registry(registry))
    assert read == registry
    before, after = compile_plan(registry).team(1), compile_plan(read).team(1)
    assert before.conditions == after.conditions
    assert before.selectors == after.selectors
    assert [(c.handle, c.key, c.complemented) for c in before.cohorts] == [
        (c.handle, c.key, c.complemented) for c in after.cohorts
    ]


def test_a_condition_that_cohorts_share_is_one_condition_of_the_plan() -> None:
    where: list[dict[str, Any]] = [{"property": "p", "value": "x"}, {"property": "q", "op": "gt", "value": 1}]
    plan = compile_plan(
        registry_of([cohort("a", where=where), cohort("b", where=[{**where[1], "value": "1.0"}, where[0], where[0]])])
    ).team(1)
    assert len(plan.conditions) == 1
    assert [c.key for c in plan.cohorts_reading[plan.conditions[0].selectors[0]]] == ["a", "b"]


def test_an_edit_that_is_built_counts_for_the_bounds_beside_what_it_replaces() -> None:
    def many(n: int, events: Sequence[str]) -> list[dict[str, Any]]:
        return [{"key": e, "when": {"kind": "count", "event": e, "n": n, "within": "9d"}} for e in events]

    first = registry_of(many(900, ["a", "b", "c"]))
    edited = many(901, ["a", "b", "c"])
    registry_of(edited)
    with pytest.raises(BadDefinition, match=f"at most {RECORD_BYTES_MAX}"):
        registry_of(edited, first)


def test_the_bytes_that_the_bound_counts_are_never_fewer_than_a_full_record_takes() -> None:
    cohorts = [
        {"key": f"k{i}", "when": {"kind": "count", "event": f"e{i}", "n": 92, "within": "730d"}} for i in range(50)
    ]
    registry_of(cohorts)
    # The worst timeline: entries that lie as far apart as they can, with tags of the greatest size.
    line = tuple((1_700_000_000_000 + index * 7 * DAY, 2**32 - 1 - index) for index in range(92))
    record = Record(timelines={2**31 + index: line for index in range(50)})
    assert len(encode_record(record)) <= RECORD_BYTES_MAX


@aside()
@given(st.lists(cohort_sets(), min_size=1, max_size=4))
def test_any_series_of_applies_numbers_versions_upward_and_gives_no_handle_twice(series: list[Cohorts]) -> None:
    registry, meaning = Registry(), dict[int, tuple[int, int]]()
    for step, cohorts in enumerate(series):
        registry = assign(registry, [parse_cohort(each) for each in cohorts], {}, applied=str(step), now=step)
        if step % 2:
            registry = activate(registry, registry.version)
        if step % 3 == 2:
            registry = drop_retired(registry, registry.version - 1)
        for each in registry.team(1).retired:
            for version in each.versions:
                assert meaning[version.handle] == (each.id, version.number)
        for each in registry.team(1).cohorts:
            assert each.active is not None
            assert [v.number for v in each.versions] == sorted({v.number for v in each.versions})
            for version in each.versions:
                assert meaning.setdefault(version.handle, (each.id, version.number)) == (each.id, version.number)
        assert meaning.keys().isdisjoint(registry.team(1).selectors.values())
        compile_plan(registry)

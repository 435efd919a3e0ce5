"""Cohorts whose members are named one by one: what is accepted, how they are stored, and how they are evaluated."""

from typing import Any

import pytest

from cohort_store.compiling import activate, assign
from cohort_store.definition_files import LIST, Name, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.definitions import parse_cohort, to_plain
from cohort_store.deltas import Delta
from cohort_store.errors import BadDefinition
from cohort_store.folding import Folded, advance, fold
from cohort_store.plans import TeamPlan, compile_plan
from cohort_store.records import EMPTY, Record, decode_record, encode_record
from cohort_store.registry import Registry, VersionState
from cohort_store.static_lists import (
    CHUNK_BYTES_MAX,
    MEMBERS_MAX,
    TeamList,
    chunks_of,
    digest_of,
    lists_in,
    members_of,
    write_of,
)
from cohort_store.subjects import ID_BYTES_MAX, PERSON, Subject
from processors.definition_changes import Action, canonical_values, list_chunks, lists_needed, parse_values, plan_apply

ANN = Subject(1, PERSON, "ann")
BUYERS = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "7d"}}
VIPS = {"key": "vips", "members": ["bob", "ann"]}
NEITHER = {"key": "neither", "when": {"not": {"any": [{"kind": "in_cohort", "cohort": c} for c in ("vips", "buyers")]}}}


def registry_of(*cohorts: dict[str, Any], before: Registry | None = None) -> Registry:
    return assign(before or Registry(), [parse_cohort(cohort) for cohort in cohorts], {}, applied="", now=0)


def digests(registry: Registry) -> list[str]:
    return [each.digest for each in lists_needed(registry)]


def test_members_are_put_in_order_and_each_counts_once() -> None:
    cohort = parse_cohort({"key": "c", "members": ["b", "a", "b"]})
    assert cohort.members == ("a", "b")
    assert to_plain(cohort) == {
        "key": "c",
        "when": {"kind": "static_list", "list": digest_of(("a", "b")), "count": 2},
    }


def test_a_list_of_nobody_is_a_list() -> None:
    assert to_plain(parse_cohort({"key": "c", "members": []}))["when"]["count"] == 0


@pytest.mark.parametrize(
    ("cohort", "path", "words"),
    [
        ({"key": "c", "members": "ann"}, "members", ("'ann' is no list", "[...]")),
        ({"key": "c", "members": [7]}, "members[0]", ("7 is no person's id", "in quotes")),
        ({"key": "c", "members": ["a", ["b"]]}, "members[1]", ("a list is no person's id",)),
        ({"key": "c", "members": ["a", ""]}, "members[1]", ("empty",)),
        ({"key": "c", "members": ["a\0"]}, "members[0]", ("NUL",)),
        ({"key": "c", "members": ["\ud800"]}, "members[0]", ("surrogate",)),
        ({"key": "c", "members": ["é" * 201]}, "members[0]", ("402 bytes", f"at most {ID_BYTES_MAX}")),
        ({"key": "c", "members": ["a"] * (MEMBERS_MAX + 1)}, "members", (f"at most {MEMBERS_MAX}", "in_cohort")),
        ({"key": "c", "members": ["a"], "when": BUYERS["when"]}, "members", ("`members` and `when`", "in_cohort")),
        ({"key": "c", "members": None}, "when", ("required",)),
        (
            {"key": "c", "when": {"kind": "static_list", "list": "A" * 16, "count": 1}},
            "when",
            ("'static_list' is made by Muster alone", "members: [...]", "in_cohort"),
        ),
    ],
)
def test_what_is_no_list_is_refused_with_place_value_and_remedy(
    cohort: dict[str, Any], path: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(BadDefinition) as refused:
        parse_cohort(cohort)
    assert refused.value.path == path
    assert [word for word in words if word not in refused.value.problem] == []


def test_a_list_of_a_hundred_thousand_is_read_from_a_file_and_stored_in_messages_of_bounded_size() -> None:
    members = [f"0190a1b2-c3d4-7e5f-8a9b-{index:012x}" for index in range(100_000)]
    text = "cohorts:\n  - key: big\n    members:\n" + "".join(f"      - {member}\n" for member in members)
    values = canonical_values(read_definitions([DefinitionText("f.yaml", text.encode())]))
    parts = [value for name, value in values.items() if name.kind == LIST]
    assert len(parts) == 8
    assert max(map(len, parts)) <= CHUNK_BYTES_MAX
    assert max(len(value) for name, value in values.items() if name.kind != LIST) < 200
    (cohort,) = parse_values(values).cohorts.values()
    assert cohort.members == tuple(members)


@pytest.mark.parametrize("count", [0, 1, 2, 2_000])
def test_parts_of_a_list_come_back_as_the_list_whatever_their_order(count: int) -> None:
    members = tuple(sorted(f"{index:x}\n\u20ac" + "x" * 380 for index in range(count)))
    parts = list(chunks_of(members))
    assert members_of(reversed(parts)) == members
    assert all(len(part) <= CHUNK_BYTES_MAX for part in parts)
    assert len(parts) == 1 + (count == 2_000)


def test_a_list_that_lost_a_part_is_refused_with_what_is_there() -> None:
    values = canonical_values(read_definitions([DefinitionText("f.yaml", b"cohorts: [{key: v, members: [a, b]}]")]))
    with pytest.raises(BadDefinition, match="0 of the 2 members of its list; apply it again"):
        parse_values({name: value for name, value in values.items() if name.kind != LIST})


def test_an_apply_shows_an_edited_list_as_one_edit_and_lets_the_old_parts_go() -> None:
    def values(members: str) -> dict[Name, bytes]:
        text = f"cohorts: [{{key: v, members: [{members}]}}]".encode()
        return canonical_values(read_definitions([DefinitionText("f.yaml", text)]))

    planned = plan_apply(values("a, b"), parse_values(values("a, c")), prune=False)
    assert [(change.name.key, change.action) for change in planned.changes] == [("v", Action.EDITED)]
    assert planned.values == values("a, c")
    assert list_chunks(planned.values, TeamList(1, digest_of(("a", "c")))) == [b'["a","c"]']
    assert not plan_apply(values("a, b"), parse_values(values("b, a, a")), prune=False).changed


def test_whoever_has_the_lists_register_is_in_it_and_in_what_refers_to_it() -> None:
    plan = compile_plan(registry_of(VIPS, BUYERS, NEITHER)).team(1)
    by_key = {cohort.key: cohort.handle for cohort in plan.cohorts}
    outcome = fold(EMPTY, [Delta(ANN, (), (write_of(digest_of(("ann", "bob"))),))], plan, 0)
    assert isinstance(outcome, Folded)
    assert outcome.record.memberships == {by_key["vips"], by_key["neither"]}, "stored in neither means excepted from it"
    assert outcome.due_ms is None
    assert decode_record(encode_record(outcome.record)) == outcome.record
    assert plan.person_properties == frozenset(), "no event can write it"


def test_an_edited_list_is_another_one_and_the_old_register_goes_with_the_last_who_reads_it() -> None:
    first = registry_of(VIPS)
    edited = registry_of({**VIPS, "members": ["ann", "cyd"]}, before=first)
    old, new = digest_of(("ann", "bob")), digest_of(("ann", "cyd"))
    assert sorted(digests(edited)) == sorted([new]), "the first one was never in force"
    both = compile_plan(edited).team(1)
    record = _folded(both, old, new)
    assert [name for name in record.registers if name.endswith(old)] == []
    active = activate(first, first.version)
    beside = registry_of({**VIPS, "members": ["ann", "cyd"]}, before=active)
    assert sorted(digests(beside)) == sorted([old, new])
    assert len(_folded(compile_plan(beside).team(1), old, new).registers) == 2


def _folded(plan: TeamPlan, *lists: str) -> Record:
    outcome = fold(EMPTY, [Delta(ANN, (), tuple(map(write_of, lists)))], plan, 0)
    assert isinstance(outcome, Folded)
    return advance(outcome.record, plan, 0).record


def test_a_version_that_reads_a_list_answers_when_every_shard_has_looked_and_has_the_list() -> None:
    made = registry_of(VIPS, BUYERS, NEITHER)
    states = {cohort.key: cohort.versions[0].state for cohort in made.team(1).cohorts}
    assert states == {"vips": "building", "buyers": "active", "neither": "building"}
    (lacking,) = lists_needed(made)
    assert activate(made, made.version - 1) is made
    assert activate(made, made.version, {lacking}) is made
    assert activate(made, made.version, {lacking._replace(team=2)}).version == made.version + 1
    ready = activate(made, made.version)
    assert all(cohort.versions[0].state is VersionState.ACTIVE for cohort in ready.team(1).cohorts)
    assert ready.team(1).retired == ()


def test_an_edit_of_a_list_lets_what_refers_to_it_wait_with_it() -> None:
    first = registry_of(VIPS, BUYERS, NEITHER)
    ready = activate(first, first.version)
    edited = registry_of({**VIPS, "members": ["cyd"]}, BUYERS, NEITHER, before=ready)
    lacking = TeamList(1, digest_of(("cyd",)))
    assert activate(edited, edited.version, {lacking}) is edited
    after = activate(edited, edited.version)
    assert {cohort.key: cohort.versions[0].number for cohort in after.team(1).cohorts} == {
        "vips": 2,
        "buyers": 1,
        "neither": 2,
    }
    assert {digest for cohort in after.team(1).cohorts for digest in lists_in(cohort.versions[0].when)} == {
        lacking.digest
    }


def test_a_cohort_that_goes_before_it_was_ready_leaves_nothing_behind() -> None:
    assert registry_of(BUYERS, before=registry_of(VIPS, BUYERS)).team(1).retired == ()

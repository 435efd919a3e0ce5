"""What an apply changes and writes, and what the topic says at a marker."""

from cohort_store.definition_files import COHORT, Definitions, Name, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.registry import Registry
from processors.control.compiler import compiled
from processors.definition_changes import (
    Action,
    Applied,
    DefinitionsLog,
    Message,
    canonical_values,
    in_force,
    marker,
    messages_for,
    names_of,
    parse_values,
    plan_apply,
    registry_values,
)


def defined(*keys: str, event: str = "x", team: int = 1) -> Definitions:
    cohorts = "".join(f"  - {{key: {key}, when: {{kind: performed, event: {event}, within: 1d}}}}\n" for key in keys)
    return read_definitions([DefinitionText("f.yaml", f"team: {team}\ncohorts:\n{cohorts}".encode())])


def name(key: str, team: int = 1) -> Name:
    return Name(COHORT, team, key)


def folded(messages: list[Message]) -> DefinitionsLog:
    log = DefinitionsLog()
    for message in messages:
        log.add(message)
    return log


def test_new_changed_and_same_definitions_are_told_apart() -> None:
    before = canonical_values(defined("same", "changed"))
    wanted = canonical_values(defined("changed", event="y")) | canonical_values(defined("same", "new"))
    planned = plan_apply(before, parse_values(wanted), prune=False)
    assert {change.name.key: change.action for change in planned.changes} == {
        "same": Action.UNCHANGED,
        "changed": Action.EDITED,
        "new": Action.CREATED,
    }


def test_definitions_that_no_file_has_stay_without_prune() -> None:
    planned = plan_apply(canonical_values(defined("old")), defined("new"), prune=False)
    assert set(planned.values) == {name("old"), name("new")}


def test_prune_drops_only_in_the_teams_that_the_files_name() -> None:
    before = canonical_values(defined("old")) | canonical_values(defined("theirs", team=2))
    planned = plan_apply(before, defined("new"), prune=True)
    assert names_of(planned.changes, Action.DROPPED) == ["old"]
    assert set(planned.values) == {name("new"), name("theirs", 2)}


def test_prune_with_an_empty_file_of_a_team_drops_all_that_is_the_teams() -> None:
    planned = plan_apply(canonical_values(defined("a", "b")), defined(), prune=True)
    assert planned.values == {}


def test_what_an_apply_writes_reads_back_as_what_it_meant() -> None:
    planned = plan_apply({}, defined("a", "b"), prune=False)
    log = folded(messages_for(DefinitionsLog(), planned.values, "one"))
    assert log.last == Applied("one", dict(planned.values))
    assert parse_values(log.last.values).cohorts == dict(defined("a", "b").cohorts)


def test_messages_behind_the_last_marker_are_not_in_force() -> None:
    values = canonical_values(defined("a"))
    written = messages_for(DefinitionsLog(), values, "one")
    halfway = messages_for(folded(written), canonical_values(defined("a", "b", event="y")), "two")[:-1]
    log = folded([*written, *halfway])
    assert log.last.values == values
    assert in_force(log, Registry()) == values


def test_the_next_apply_puts_right_what_a_killed_one_left() -> None:
    values = canonical_values(defined("a", "b"))
    written = messages_for(DefinitionsLog(), values, "one")
    killed = [Message(b"cohort:1:a", None), Message(b"cohort:1:c", b'{"key":"c"}')]
    log = folded([*written, *killed])
    after = folded([*written, *killed, *messages_for(log, values, "two")])
    assert after.last == Applied("two", values)
    assert not after.tail


def test_a_value_that_compaction_took_for_a_killed_apply_comes_from_the_registry() -> None:
    values = canonical_values(defined("a", "b"))
    registry = compiled(Registry(), Applied("one", values), now=0)
    # Of b only the message behind the marker is left.
    compacted = [Message(b"cohort:1:a", values[name("a")]), marker("one"), Message(b"cohort:1:b", b'{"key":"b"}')]
    assert in_force(folded(compacted), registry) == values


def test_a_registry_gives_back_the_definitions_it_was_compiled_from() -> None:
    text = b"""
cohorts: [{key: a, team: 3, name: A, listed: false, when: {any: [{kind: count, event: x, op: lt, n: 2, within: 1w}]}}]
flags: [{key: f, filters: {groups: [{rollout_percentage: 20}]}, muster: {on_unavailable: {value: true}}}]
"""
    values = canonical_values(read_definitions([DefinitionText("f.yaml", text)]))
    assert registry_values(compiled(Registry(), Applied("one", values), now=0)) == values


def test_messages_that_name_nothing_are_skipped() -> None:
    log = folded([Message(b"nonsense", b"{}"), Message(b"cohort:x:y", b"{}"), Message(b"\xff", b"{}"), marker("one")])
    assert log.last == Applied("one", {})


def test_the_messages_of_an_apply_are_those_that_readers_parse() -> None:
    text = b"""
team: 2
cohorts: [{key: buyers, when: {all: [{kind: performed, event: buy, within: 7d}, {not: {kind: in_cohort, cohort: b}}]}}]
flags: [{key: f, filters: {groups: [{rollout_percentage: 20}]}}]
"""
    values = canonical_values(read_definitions([DefinitionText("f.yaml", text)]))
    log = folded([Message(b"cohort:2:gone", b"{}"), marker("before")])
    assert messages_for(log, values, "now") == [
        Message(
            b"cohort:2:buyers",
            b'{"key":"buyers","team":2,"when":{"all":[{"event":"buy","kind":"performed","within":"7d"},'
            b'{"not":{"cohort":"b","kind":"in_cohort"}}]}}',
        ),
        Message(b"flag:2:f", b'{"filters":{"groups":[{"rollout_percentage":20.0}]},"key":"f","team_id":2}'),
        Message(b"cohort:2:gone", None),
        Message(b"apply", b'{"id":"now"}'),
    ]

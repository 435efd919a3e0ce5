"""A registry compiled for the evaluator: flags bound to their team's cohorts, and what cannot be read left out."""

import msgspec

from cohort_store.flags import parse_flag, plain_flag
from cohort_store.registry import Registry, TeamRegistry
from evaluator.definitions.catalog import compile_catalog
from tests.evaluator.building import flag, in_cohort, registry_of

FOR_BUYERS = flag("for-buyers", {"properties": [in_cohort("buyers")]})


def test_a_flag_asks_the_cohort_whether_it_is_named_by_key_or_by_id() -> None:
    registry = registry_of([FOR_BUYERS, flag("by-id", {"properties": [in_cohort(1)]})])
    team = compile_catalog(registry).team(1)
    assert [each.cohorts for each in team.flags.values()] == [(team.cohorts["buyers"],)] * 2


def test_a_cohort_asked_twice_by_a_flag_is_listed_once() -> None:
    twice = flag("twice", {"properties": [in_cohort("buyers")]}, {"properties": [in_cohort(1, "not_in")]})
    assert len(compile_catalog(registry_of([twice])).team(1).flags["twice"].cohorts) == 1


def test_an_unreadable_flag_is_left_out_and_named_and_the_others_stay() -> None:
    newer = plain_flag(parse_flag(FOR_BUYERS)) | {"key": "newer", "muster": {"on_unavailable": "yesterday"}}
    plain = (plain_flag(parse_flag(FOR_BUYERS)), newer, 7)
    registry = registry_of()
    team = msgspec.structs.replace(registry.team(1), flags=plain)
    catalog = compile_catalog(msgspec.structs.replace(registry, teams={1: team})).team(1)
    assert list(catalog.flags) == ["for-buyers"]
    assert set(catalog.refused) == {"newer", "flags[2]"}
    assert "yesterday" in catalog.refused["newer"]


def test_a_team_does_not_see_another_teams_cohorts() -> None:
    registry = registry_of()
    other = TeamRegistry(2, flags=(plain_flag(parse_flag(FOR_BUYERS)),))
    catalog = compile_catalog(msgspec.structs.replace(registry, teams={**registry.teams, 2: other}))
    assert catalog.team(2).flags["for-buyers"].cohorts == ()
    assert catalog.team(2).flags["for-buyers"].sets[0].missing == "buyers"


def test_a_number_that_is_one_cohorts_key_and_anothers_id_means_the_key() -> None:
    registry = registry_of([flag("f", {"properties": [in_cohort("1")]})])
    (named, *others) = registry.team(1).cohorts[::-1]
    assert {other.id for other in others} >= {1}
    renamed = msgspec.structs.replace(named, key="1")
    team = msgspec.structs.replace(registry.team(1), cohorts=(*others, renamed))
    catalog = compile_catalog(msgspec.structs.replace(registry, teams={1: team})).team(1)
    assert catalog.flags["f"].cohorts == (catalog.cohorts["1"],)


def test_a_team_that_defined_nothing_has_an_empty_catalog() -> None:
    assert compile_catalog(Registry()).team(9).flags == {}

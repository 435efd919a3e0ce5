"""Since when a flag is as it is: through applies, in the registry."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cohort_store.definition_files import read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.flag_changes import dated
from cohort_store.registry import Registry, TeamRegistry
from processors.control.compiler import compiled
from processors.definition_changes import Applied, canonical_values
from tests.evaluator.building import flag, registry_of


def changed(registry: Registry, team: int = 1) -> Mapping[str, int]:
    return registry.team(team).flags_changed_ms


def applied(before: Registry, *flags: Mapping[str, Any], now: int) -> Registry:
    text = msgspec.json.encode({"flags": list(flags)})
    values = canonical_values(read_definitions([DefinitionText("f.json", text)]))
    return compiled(before, Applied(f"a{now}", values), now)


def test_a_flag_is_as_it_is_since_the_apply_that_last_changed_it() -> None:
    first = applied(Registry(), flag("a", {}), flag("b", {}), now=1_000)
    assert changed(first) == {"a": 1_000, "b": 1_000}
    second = applied(first, flag("a", {}), flag("b", {"rollout_percentage": 50}), flag("c", {}), now=2_000)
    assert changed(second) == {"a": 1_000, "b": 2_000, "c": 2_000}


def test_a_flag_that_was_dropped_and_comes_again_is_new() -> None:
    first = applied(Registry(), flag("a", {}), now=1_000)
    gone = applied(first, flag("b", {}), now=2_000)
    assert changed(gone) == {"b": 2_000}
    assert changed(applied(gone, flag("a", {}), now=3_000)) == {"a": 3_000}


def test_of_a_flag_from_before_instants_were_kept_none_is_known_until_it_changes() -> None:
    old = registry_of([flag("a", {})])
    same = applied(old, flag("a", {}), now=2_000)
    assert changed(same) == {}
    assert changed(applied(same, flag("a", {}, active=False), now=3_000)) == {"a": 3_000}


def test_a_refused_apply_dates_nothing() -> None:
    first = applied(Registry(), flag("a", {}), now=1_000)
    asking = flag("a", {"properties": [{"type": "cohort", "key": "id", "operator": "in", "value": "nobody"}]})
    refused = applied(first, asking, now=2_000)
    assert refused.refused
    assert changed(refused) == {"a": 1_000}


def test_teams_are_dated_apart() -> None:
    before = Registry(teams={1: TeamRegistry(1, flags=({"key": "a"},), flags_changed_ms={"a": 5})})
    after = Registry(teams={team: TeamRegistry(team, flags=({"key": "a"},)) for team in (1, 2)})
    found = dated(before, after, 9)
    assert (changed(found, 1), changed(found, 2)) == ({"a": 5}, {"a": 9})

"""Flags that depend on each other: their order, and what is refused."""

from typing import Any

import pytest

from cohort_store.definition_files import check_whole, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.errors import BadDefinition
from cohort_store.flag_order import DEPENDENCY_LEVELS_MAX, FlagOrder, order_flags
from cohort_store.flags import parse_flag


def _flag(key: str, *others: str, number: int = 0) -> dict[str, Any]:
    asking = [{"type": "flag", "key": each, "operator": "flag_evaluates_to", "value": True} for each in others]
    return {"key": key, "id": number, "filters": {"groups": [{"properties": asking}]}}


def _order(*flags: dict[str, Any]) -> FlagOrder:
    return order_flags(map(parse_flag, flags))


def test_each_flag_comes_behind_those_that_it_depends_on() -> None:
    order = _order(_flag("a", "b", "c"), _flag("b", "d"), _flag("c", "d"), _flag("d"), _flag("e"))
    assert order.keys == ("d", "b", "c", "a", "e")
    assert order.broken == {}


def test_flags_without_dependencies_stay_as_they_came() -> None:
    assert _order(_flag("z"), _flag("y"), _flag("x")).keys == ("z", "y", "x")


def test_a_flag_is_named_by_its_id_unless_another_has_that_for_its_key() -> None:
    order = _order(_flag("a", "7"), _flag("b", number=7))
    assert (order.names["7"], order.broken) == ("b", {})
    assert _order(_flag("a", "7"), _flag("b", number=7), _flag("7")).names["7"] == "7"


@pytest.mark.parametrize(
    ("flags", "broken"),
    [
        ([_flag("a", "a")], {"a"}),
        ([_flag("a", "b"), _flag("b", "a")], {"a", "b"}),
        ([_flag("a", "b"), _flag("b", "c"), _flag("c", "b"), _flag("d", "a"), _flag("e")], {"a", "b", "c", "d"}),
        ([_flag("a", "ghost"), _flag("b", "a"), _flag("c")], {"a", "b"}),
        ([_flag("a", "b", "c"), _flag("b", "c"), _flag("c", "a", "d"), _flag("d")], {"a", "b", "c"}),
    ],
)
def test_circles_and_gaps_break_whoever_depends_on_them_and_nobody_else(
    flags: list[dict[str, Any]], broken: set[str]
) -> None:
    for first in range(len(flags)):
        order = _order(*flags[first:], *flags[:first])
        assert set(order.broken) == broken
        assert sorted(order.keys) == sorted(flag["key"] for flag in flags)


def test_the_message_shows_the_circle() -> None:
    assert _order(_flag("a", "b"), _flag("b", "a")).broken["b"] == "depends on itself: a -> b -> a"


@pytest.mark.parametrize(("levels", "is_broken"), [(DEPENDENCY_LEVELS_MAX, False), (DEPENDENCY_LEVELS_MAX + 1, True)])
def test_a_chain_has_a_longest_length(levels: int, is_broken: bool) -> None:
    chain = [_flag(f"f{n}", f"f{n + 1}") for n in range(levels)]
    assert bool(_order(*chain, _flag(f"f{levels}")).broken) is is_broken


def test_a_chain_of_ten_thousand_flags_is_refused_and_does_not_overflow() -> None:
    chain = [_flag(f"f{n}", f"f{n + 1}") for n in range(10_000)]
    assert len(_order(*chain).broken) == 10_000


def test_an_apply_refuses_a_circle_with_its_place() -> None:
    text = """
flags:
  - {key: a, filters: {groups: [{properties: [{type: flag, key: b, operator: flag_evaluates_to, value: true}]}]}}
  - {key: b, filters: {groups: [{properties: [{type: flag, key: a, operator: flag_evaluates_to, value: false}]}]}}
"""
    with pytest.raises(BadDefinition, match="depends on") as refused:
        check_whole(read_definitions([DefinitionText("f.yaml", text.encode())]), {})
    assert refused.value.path.startswith("f.yaml:")

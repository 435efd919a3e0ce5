"""Definitions that would cost a person's record, or the machine, too much: refused within a second, with the limit."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cohort_store.compiling import check
from cohort_store.definitions import DEPTH_MAX, LEAVES_MAX, parse_cohort
from cohort_store.errors import BadDefinition

SECONDS_MAX = 1.0
LEAF: dict[str, Any] = {"kind": "performed", "event": "a", "within": "7d"}
WINDOWS: dict[str, Any] = {"kind": "stopped", "event": "a", "within": "30d", "recent": "7d"}
REGULARLY: dict[str, Any] = {"kind": "regularly", "event": "a", "period": "1d", "periods": 7, "min_periods": 1}
SEQUENCE: dict[str, Any] = {
    "kind": "sequence",
    "first": {"event": "a"},
    "then": {"event": "b"},
    "then_within": "1d",
    "within": "7d",
}
AGGREGATE: dict[str, Any] = {**LEAF, "kind": "aggregate", "property": "p", "fn": "avg", "op": "gt", "value": 1}


def nested(depth: int) -> dict[str, Any]:
    when = LEAF
    for _ in range(depth):
        when = {"all": [when]}
    return when


def leaves(count: int) -> dict[str, Any]:
    return {"any": [{"all": [{**LEAF, "event": f"e{n}-{m}"} for m in range(50)]} for n in range(count // 50)]}


@pytest.mark.parametrize(
    ("whens", "problem"),
    [
        pytest.param([{**LEAF, "kind": "count", "n": 10**9}], "at most 1000", id="n of a billion"),
        pytest.param([{**LEAF, "kind": "count", "n": 10**1000}], "at most 1000", id="n of a thousand digits"),
        pytest.param([{**LEAF, "within": "0d"}], "longer than 0", id="a window of nothing"),
        pytest.param(
            [{**LEAF, "within": f"{'9' * 4_000}d"}],
            "duration|out of bounds|digits",
            id="a window of four thousand digits",
        ),
        pytest.param([{**WINDOWS, "recent": "30d"}], "not shorter than within", id="M of W"),
        pytest.param([{**WINDOWS, "recent": "31d"}], "not shorter than within", id="M beyond W"),
        pytest.param([{**REGULARLY, "periods": 10**6}], "at most 1000", id="a million periods"),
        pytest.param(
            [{**REGULARLY, "period": "1h", "periods": 700, "times": 1_000}], "at most 4096", id="periods of many"
        ),
        pytest.param([{**SEQUENCE, "then_within": "0s"}], "longer than 0", id="a sequence without time for it"),
        pytest.param([{**AGGREGATE, "value": 10**400}], "out of bounds", id="a value of four hundred digits"),
        pytest.param([{**AGGREGATE, "fn": "distinct", "value": 10**9}], "0 to 1000", id="a billion texts"),
        pytest.param([nested(50)], f"at most {DEPTH_MAX}|deeper than {DEPTH_MAX}", id="fifty levels"),
        pytest.param([nested(100_000)], f"deeper than {DEPTH_MAX}", id="a hundred thousand levels"),
        pytest.param([leaves(500)], f"at most {LEAVES_MAX}", id="five hundred conditions"),
        pytest.param([{"kind": "in_cohort", "cohort": "c0"}], "refers to itself", id="a circle of one"),
        pytest.param(
            [{"kind": "in_cohort", "cohort": "c1"}, {"kind": "in_cohort", "cohort": "c0"}],
            "circle",
            id="a circle of two",
        ),
        pytest.param(
            [{**LEAF, "where": [{"property": "p", "op": "regex", "value": "(?=x)"}]}], "RE2|pattern", id="a look-ahead"
        ),
        pytest.param(
            [{**LEAF, "where": [{"property": "p", "op": "regex", "value": "(((a{1000}){1000}){1000})"}]}],
            "RE2|pattern",
            id="a pattern of a billion repetitions",
        ),
        pytest.param([{**SEQUENCE, "within": f"{n}d"} for n in range(1, 30)], "65536", id="too many sequences"),
        pytest.param([{**AGGREGATE, "within": f"{n}d"} for n in range(1, 101)], "65536", id="too many averages"),
    ],
)
def test_what_would_cost_too_much_is_refused_within_a_second(whens: list[dict[str, Any]], problem: str) -> None:
    started = time.process_time()
    with pytest.raises(BadDefinition, match=problem):
        check([parse_cohort({"key": f"c{index}", "when": when}) for index, when in enumerate(whens)])
    assert time.process_time() - started < SECONDS_MAX

"""What is refused when definitions are applied, and what its author is told: place, value, limit, remedy."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cohort_store.compiling import RECORD_BYTES_MAX, TIMELINE_ENTRIES_MAX, check
from cohort_store.definitions import DEPTH_MAX, LEAVES_MAX, parse_cohort
from cohort_store.errors import BadDefinition
from cohort_store.references import RESOLVED_CONDITIONS_MAX, RESOLVED_DEPTH_MAX

LEAF = {"kind": "performed", "event": "a", "within": "7d"}
COUNT = {"kind": "count", "event": "a", "within": "7d", "n": 3}


def leaf(**changes: Any) -> dict[str, Any]:
    return {"key": "c", "when": {**LEAF, **changes}}


def count(**changes: Any) -> dict[str, Any]:
    return {"key": "c", "when": {**COUNT, **changes}}


def where(**test: Any) -> dict[str, Any]:
    return leaf(where=[{"property": "p", **test}])


def person(**changes: Any) -> dict[str, Any]:
    return {"key": "c", "when": {"kind": "person_property", "property": "plan", "value": "pro", **changes}}


def without(word: str, **changes: Any) -> dict[str, Any]:
    return {"key": "c", "when": {key: value for key, value in {**LEAF, **changes}.items() if key != word}}


def negated(times: int) -> dict[str, Any]:
    node: dict[str, Any] = LEAF
    for _ in range(times):
        node = {"not": node}
    return {"key": "c", "when": node}


REFUSED: list[tuple[str, Any, str, tuple[str, ...]]] = [
    ("no mapping", 5, "", ("5 is no mapping", "write")),
    ("nothing", None, "", ("null is no mapping",)),
    ("no key", {"when": LEAF}, "key", ("required", "add it")),
    ("no tree", {"key": "c"}, "when", ("required", "add it")),
    ("key of capitals", {"key": "Buyers", "when": LEAF}, "key", ("'Buyers'", "a-z0-9", "rename")),
    ("key too long", {"key": "b" * 101, "when": LEAF}, "key", ("bbb...", "{0,99}", "rename")),
    ("key no text", {"key": 7, "when": LEAF}, "key", ("7 is no text", "write one")),
    ("unknown key", {"key": "c", "when": LEAF, "whne": 1}, "whne", ("not known", "spelling")),
    ("key no text at all", {"key": "c", "when": {**LEAF, 1: 2}}, "when[1]", ("1 is no key", "texts")),
    ("team of nobody", {"key": "c", "team": 0, "when": LEAF}, "team", ("0 is too small", "at least 1")),
    ("team in quotes", {"key": "c", "team": "1", "when": LEAF}, "team", ("'1' is no whole number", "without quotes")),
    ("team too large", {"key": "c", "team": 2**31, "when": LEAF}, "team", ("2147483648", "at most 2147483647")),
    ("listed maybe", {"key": "c", "listed": "no", "when": LEAF}, "listed", ("'no'", "true", "false")),
    ("name too long", {"key": "c", "name": "n" * 401, "when": LEAF}, "name", ("401", "at most 400", "shorten")),
    ("tree no mapping", {"key": "c", "when": "all"}, "when", ("'all' is no condition", "performed")),
    ("tree a list", {"key": "c", "when": [LEAF]}, "when", ("a list is no condition", "write all")),
    ("tree empty", {"key": "c", "when": {}}, "when", ("null is no condition", "a kind out of")),
    ("kind unknown", leaf(kind="preformed"), "when", ("'preformed'", "performed", "in_cohort")),
    ("kind no text", leaf(kind=["performed"]), "when", ("a list is no condition",)),
    ("all of nobody", {"key": "c", "when": {"all": []}}, "when.all", ("0 of them", "at least 1", "add")),
    ("all of no list", {"key": "c", "when": {"all": LEAF}}, "when.all", ("a mapping is no list", "[...]")),
    ("too many children", {"key": "c", "when": {"any": [LEAF] * 101}}, "when.any", ("101", "at most 100", "split")),
    ("two branches", {"key": "c", "when": {"all": [LEAF], "any": [LEAF]}}, "when.any", ("not known here",)),
    ("branch and kind", {"key": "c", "when": {"not": LEAF, "kind": "performed"}}, "when.kind", ("not known here",)),
    (
        "deep in the tree",
        {"key": "c", "when": {"all": [LEAF, {"not": {"any": [LEAF, {**COUNT, "n": -1}]}}]}},
        "when.all[1].not.any[1].n",
        ("-1 is too small", "at least 0"),
    ),
    ("not of not", {"key": "c", "when": {"not": {"not": {**LEAF, "x": 1}}}}, "when.not.not.x", ("not known here",)),
    ("not with a key too many", {"key": "c", "when": {"not": {"not": LEAF, "x": 1}}}, "when.not.x", ("not known",)),
    ("property of Muster's own", person(property="$list:abc"), "when.property", ("$list:", "in_cohort")),
    ("property with no name", person(property=""), "when.property", ("0 characters", "at least 1")),
    ("property with an event", person(event="a"), "when.event", ("not known here",)),
    ("property without value", person(op="exact", value=None), "when", ("needs a value", "is_set")),
    ("property by unknown operator", person(op="like"), "when.op", ("'like' is not known", "exact")),
    ("property in a window", person(within="7d"), "when.within", ("not known here",)),
    ("no event", without("event"), "when", ("`event`", "`any_of`", "one of the two")),
    ("event and any_of", leaf(any_of=[{"event": "b"}]), "when", ("`event`", "`any_of`", "one of the two")),
    ("where beside any_of", without("event", any_of=[{"event": "b"}], where=[{"property": "p", "value": 1}]), "when",
     ("`where`", "inside each alternative")),
    ("event name too long", leaf(event="e" * 201), "when.event", ("201", "at most 200", "shorten")),
    ("event name empty", leaf(event=""), "when.event", ("0 characters", "at least 1")),
    ("too many alternatives", without("event", any_of=[{"event": "b"}] * 51), "when.any_of", ("51", "at most 50")),
    ("no interval", without("within"), "when", ("within: 7d", "since:")),
    ("window of nothing", leaf(within="0d"), "when", ("0d", "longer than 0", "at most 730d")),
    ("window of 731 days", leaf(within="731d"), "when", ("731d", "at most 730d")),
    ("window a millisecond too long", leaf(within="730d1ms"), "when", ("730d1ms", "at most 730d")),
    ("window no duration", leaf(within="a week"), "when", ("'a week'", "number and a unit", "7d")),
    ("window no text", leaf(within=7), "when.within", ("7 is no text",)),
    ("since and within", leaf(since="2026-01-12"), "when", ("`within`", "`since`", "one of the two")),
    ("until and within", leaf(until="2026-01-12"), "when", ("`within`", "one of the two")),
    ("until alone", without("within", until="2026-01-12"), "when", ("say when", "since:")),
    ("until before since", without("within", since="2026-01-12", until="2026-01-11T23:59:59.999Z"), "when",
     ("2026-01-11T23:59:59.999Z", "2026-01-12", "exchange")),
    ("since no instant", without("within", since="yesterday"), "when", ("'yesterday'", "ISO 8601", "2026-01-12T")),
    ("n a thousand millions", count(n=10**9), "when.n", ("1000000000 is too large", "at most 1000")),
    ("n missing", {"key": "c", "when": {k: v for k, v in COUNT.items() if k != "n"}}, "when.n", ("required",)),
    ("n a fraction", count(n=1.5), "when.n", ("1.5 is no whole number",)),
    ("n true", count(n=True), "when.n", ("True is no whole number",)),
    ("n of many bits", count(n=10**5000), "when.n", ("more than 64 bits", "at most 1000")),
    ("operator unknown", count(op=">="), "when.op", ("'>='", "'gte'")),
    ("reference to no key", {"key": "c", "when": {"kind": "in_cohort", "cohort": "A B"}}, "when.cohort", ("'A B'",)),
    ("property without name", leaf(where=[{"property": "", "value": 1}]), "when.where[0].property", ("at least 1",)),
    ("property operator unknown", where(op="like", value="x"), "when.where[0].op", ("'like'", "icontains")),
    ("property without value", where(), "when.where[0]", ("needs a value", "is_set")),
    ("is_set with a value", where(op="is_set", value="x"), "when.where[0]", ("takes no value", "'x'")),
    ("comparison with a word", where(op="gt", value="ten"), "when.where[0]", ("'ten'", "write one number")),
    ("comparison with a list", where(op="gt", value=[1, 2]), "when.where[0]", ("compares numbers", "one number")),
    ("comparison of between", where(op="between", value=5), "when.where[0]", ("two numbers", "'5'", "[1, 10]")),
    ("between one", where(op="between", value=[5]), "when.where[0]", ("two numbers", "[5]")),
    ("between three", where(op="not_between", value=[1, 2, 3]), "when.where[0]", ("two numbers", "[1, 2, 3]")),
    ("between words", where(op="between", value=["a", "b"]), "when.where[0]", ("two numbers", "['a', 'b']")),
    ("between exchanged", where(op="between", value=[10, 5]), "when.where[0]", ("from 10 to 5", "exchange")),
    ("pattern open", where(op="regex", value="(a"), "when.where[0]", ("'(a'", "missing )", "correct")),
    ("pattern looks ahead", where(op="regex", value="a(?=b)"), "when.where[0]", ("RE2", "(?=", "look-around")),
    ("pattern refers back", where(op="not_regex", value=r"(a)\1"), "when.where[0]", ("RE2", r"\1")),
    ("pattern repeats", where(op="regex", value="(a{1000}){1000}"), "when.where[0]", ("RE2", "repetition")),
    ("pattern too large", where(op="regex", value=r"(\pL{999}|\d{999}){9}"), "when.where[0]", ("RE2", "refuses")),
    ("pattern too long", where(op="regex", value="a" * 1025), "when.where[0].value", ("1025", "at most 1024")),
    ("one pattern of two", where(op="regex", value=["a", "["]), "when.where[0]", ("'['", "missing ]")),
    ("date a word", where(op="is_date_before", value="soon"), "when.where[0]", ("'soon'", "ISO 8601", "-7d")),
    ("date relative", where(op="is_date_after", value="-7d"), "when.where[0]", ("'-7d'", "event", "fixed date")),
    ("version short", where(op="semver_gt", value="1.2"), "when.where[0]", ("'1.2'", "three numbers", "'1.2.0'")),
    ("value nested", where(value={"a": 1}), "when.where[0].value", ("nothing nested",)),
    ("value a list with null", where(value=["x", None]), "when.where[0].value", ("no null",)),
    ("value no number", where(value=float("nan")), "when.where[0].value", ("nan", "finite")),
    ("value of many bits", where(value=2**63), "when.where[0].value", ("64 bits", "9223372036854775807", "quotes")),
    ("value too long", where(value="x" * 1025), "when.where[0].value", ("1025", "at most 1024")),
    ("no values", where(value=[]), "when.where[0].value", ("0 values", "1 to 1000")),
    ("too many values", where(value=["x"] * 1001), "when.where[0].value", ("1001 values", "1 to 1000")),
    ("too many tests", leaf(where=[{"property": "p", "value": 1}] * 21), "when.where", ("21", "at most 20")),
    ("too deep", negated(DEPTH_MAX), "when", (f"{DEPTH_MAX + 1} levels", f"at most {DEPTH_MAX}", "in_cohort")),
    ("far too deep", negated(100_000), "", (f"deeper than {DEPTH_MAX}", "in_cohort")),
    (
        "too many conditions",
        {"key": "c", "when": {"all": [{"any": [LEAF] * 100}, {"any": [LEAF] * 100}, LEAF]}},
        "when",
        ("201 conditions", f"at most {LEAVES_MAX}", "in_cohort"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "path", "parts"), [pytest.param(raw, path, parts, id=name) for name, raw, path, parts in REFUSED]
)
def test_a_wrong_definition_is_refused_with_its_place_and_a_way_out(
    raw: Any, path: str, parts: tuple[str, ...]
) -> None:
    with pytest.raises(BadDefinition) as refused:
        parse_cohort(raw)
    assert refused.value.path == path
    assert [part for part in parts if part not in refused.value.problem] == [], refused.value.problem
    assert len(refused.value.problem) < 300


def test_the_path_of_a_finding_continues_the_place_of_the_definition_in_its_file() -> None:
    with pytest.raises(BadDefinition) as refused:
        parse_cohort({"key": "c", "when": {"not": {**COUNT, "n": 1001}}}, "cohorts[3]")
    assert refused.value.path == "cohorts[3].when.not.n"
    assert str(refused.value) == "cohorts[3].when.not.n: 1001 is too large; at most 1000"


def test_a_definition_at_each_of_its_limits_is_accepted() -> None:
    parse_cohort(negated(DEPTH_MAX - 1))
    parse_cohort({"key": "c", "when": {"all": [{"any": [LEAF] * 100}, {"any": [LEAF] * 100}]}})
    parse_cohort(
        leaf(within="730d", event="e" * 200, where=[{"property": "p" * 200, "value": ["x" * 1024] * 1000}] * 20)
    )
    parse_cohort(count(n=0))
    parse_cohort(count(n=1000))


def refers(key: str, *to: str, word: str = "all") -> dict[str, Any]:
    return {"key": key, "when": {word: [{"kind": "in_cohort", "cohort": each} for each in to]}}


def refusal_of(*cohorts: dict[str, Any]) -> BadDefinition:
    with pytest.raises(BadDefinition) as refused:
        check([parse_cohort(cohort) for cohort in cohorts])
    return refused.value


def test_a_reference_to_nobody_is_refused_where_it_is_written() -> None:
    refusal = refusal_of(refers("a", "b"), refers("b", "nobody"))
    assert refusal.path == "b"
    assert "'nobody'" in refusal.problem
    assert "apply it first or together" in refusal.problem


def test_a_cohort_of_another_team_is_nobody() -> None:
    refusal = refusal_of(refers("a", "b"), {**leaf(), "key": "b", "team": 2})
    assert refusal.path == "a"


@pytest.mark.parametrize("length", [1, 2, 3, 500])
def test_a_circle_is_refused_and_shown(length: int) -> None:
    keys = [f"k{index}" for index in range(length)]
    circle = [refers(key, keys[(index + 1) % length]) for index, key in enumerate(keys)]
    refusal = refusal_of(refers("outside", "k0"), *circle)
    assert refusal.path in keys
    first = keys.index(refusal.path)
    shown = " → ".join([*keys[first:], *keys[:first], refusal.path])
    assert refusal.problem == f"refers to itself through {shown}; break the circle"


def test_references_that_double_thirty_times_are_refused_at_once() -> None:
    cohorts = [refers(f"k{index}", f"k{index + 1}", f"k{index + 1}") for index in range(30)]
    started = time.process_time()
    refusal = refusal_of(*cohorts, {**leaf(), "key": "k30"})
    assert time.process_time() - started < 1
    assert "1024 conditions once its references are followed" in refusal.problem
    assert f"at most {RESOLVED_CONDITIONS_MAX}" in refusal.problem


def test_a_chain_of_ten_thousand_plain_references_is_resolved() -> None:
    cohorts = [{"key": f"k{n}", "when": {"kind": "in_cohort", "cohort": f"k{n + 1}"}} for n in range(9_999)]
    check([parse_cohort(cohort) for cohort in [*cohorts, {**leaf(), "key": "k9999"}]])


def test_references_that_nest_too_deep_are_refused() -> None:
    cohorts = [refers(f"k{index}", f"k{index + 1}") for index in range(RESOLVED_DEPTH_MAX)]
    refusal = refusal_of(*cohorts, {**leaf(), "key": f"k{RESOLVED_DEPTH_MAX}"})
    assert refusal.path == "k0"
    assert f"{RESOLVED_DEPTH_MAX + 1} levels" in refusal.problem
    assert f"at most {RESOLVED_DEPTH_MAX}" in refusal.problem


def test_references_that_nest_as_deep_as_may_be_are_accepted() -> None:
    cohorts = [refers(f"k{index}", f"k{index + 1}", word="any") for index in range(RESOLVED_DEPTH_MAX - 1)]
    check([parse_cohort(cohort) for cohort in [*cohorts, {**leaf(), "key": f"k{RESOLVED_DEPTH_MAX - 1}"}]])


def test_the_same_key_twice_in_a_team_is_refused() -> None:
    refusal = refusal_of(leaf(), leaf(event="b"))
    assert refusal.path == "c"
    assert "twice" in refusal.problem


def counts(number: int, n: int, event: str = "a") -> list[dict[str, Any]]:
    """Cohorts on one selector, each with a window of its own, so that none shares a condition."""
    return [
        {"key": f"{event}{i}", "when": {**COUNT, "event": event, "n": n, "within": f"{i + 1}d"}} for i in range(number)
    ]


def test_more_entries_of_one_selector_than_a_timeline_holds_are_refused() -> None:
    within = [*counts(4, 1000), *counts(1, 96, "b")]
    within[-1]["when"]["event"] = "a"
    check([parse_cohort(cohort) for cohort in within])
    within[-1]["when"]["n"] = 97
    refusal = refusal_of(*within)
    assert f"{TIMELINE_ENTRIES_MAX + 1} entries" in refusal.problem
    assert f"at most {TIMELINE_ENTRIES_MAX}" in refusal.problem
    assert "lower n" in refusal.problem


def test_more_bytes_than_a_record_holds_are_refused() -> None:
    refusal = refusal_of(*counts(4, 1000, "a"), *counts(2, 1000, "b"))
    assert refusal.path == "b0"
    assert f"at most {RECORD_BYTES_MAX}" in refusal.problem
    assert "share selectors" in refusal.problem


def test_more_properties_of_a_person_than_a_record_holds_are_refused() -> None:
    named = [{**person(property=f"p{index}"), "key": f"k{index}"} for index in range(64)]
    check([parse_cohort(cohort) for cohort in named[:61]])
    refusal = refusal_of(*named)
    assert refusal.path == "k62"
    assert f"at most {RECORD_BYTES_MAX}" in refusal.problem
    assert "name fewer properties" in refusal.problem


def test_conditions_that_cohorts_share_count_once() -> None:
    check([parse_cohort({"key": f"k{index}", "when": {**COUNT, "n": 1000}}) for index in range(50)])

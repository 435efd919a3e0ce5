"""An evaluator's explanation of a flag as lines of text: the answer, then each condition set with its tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cohort_store.explaining import Why
from processors.cli.explanation import tree_lines

_VERDICTS = {True: "yes", False: "no", None: "?"}
_SETS = {
    "matches": "yes",
    "fails": "no",
    "out_of_rollout": "no",
    "skipped": "no",
    "unknown": "?",
}
_SOURCES = {
    "store": "",
    "record": "Memberships are as they will be then, if nothing more is done.",
    "history": "Memberships are those of which ClickHouse was told by then.",
}


def lines_of(found: Mapping[str, Any], key: str) -> Iterator[str]:
    """All of it. `found` is the answer of POST /flags/explain."""
    flag = found["flags"][key]
    answer, reason = flag["answer"], flag["answer"]["reason"]
    value = answer["variant"] or ("on" if answer["enabled"] else "off")
    who = found["distinct_id"]
    person = f" (person {found['person']})" if found["person"] != who else ""
    yield f"{key} is {value} for {who}{person} at {found['at']}: {reason['description']} ({reason['code']})."
    for each in flag.get("before", ()):
        yield f"{_VERDICTS[each['answers']]:5}  {_before(each)}"
    for each in flag["sets"]:
        yield from _set_lines(each, found.get("cohorts", {}))
    if not flag["sets"]:
        yield "It has no condition set, so it is off for everybody."
    variants = flag.get("variants")
    if variants and variants["hash"] is not None:
        yield f"{'':5}  hash for variants {variants['hash']:.6f}: {_stretches(variants)}"
    if flag["policy"]["answers"]:
        yield f"Its policy answered in place of its conditions: {_json(flag['policy']['on_unavailable'])}."
    if "unchanged_since" in flag:
        yield f"Unchanged since {flag['unchanged_since']}."
    if _SOURCES[found["source"]]:
        yield _SOURCES[found["source"]]


def _set_lines(each: Mapping[str, Any], cohorts: Mapping[str, Any]) -> Iterator[str]:
    rollout = each["rollout"]
    words = [f"set {each['index'] + 1}"]
    if each["verdict"] == "skipped":
        words.append("skipped: the question has no id of the group, or the device, that it is about")
    elif rollout["percentage"] < 100:
        side = "within" if rollout["within"] else "beyond"
        words.append(f"{rollout['percentage']:g} % ({side}: hash {rollout['hash']:.6f}, bound {rollout['bound']:g})")
    if each.get("variant"):
        words.append(f"gives {each['variant']}")
    if each["decides"]:
        words.append("decides")
    yield f"{_SETS[each['verdict']]:5}  {', '.join(words)}"
    for test in each["tests"]:
        yield f"{_VERDICTS[test['holds']]:5}    {_test(test, cohorts)}"
        yield from _cohort_lines(test, cohorts)


def _before(each: Mapping[str, Any]) -> str:
    if each["kind"] == "early_access":
        chosen = {True: "she chose to have it", False: "she chose not to have it", None: "she did not choose"}
        return f"early access: {chosen[each.get('chosen')]}"
    return f"holdout ({each['variant']}): {'she is left out' if each['answers'] else 'she is not in it'}"


def _test(test: Mapping[str, Any], cohorts: Mapping[str, Any]) -> str:
    if test["type"] != "cohort":
        wanted = f" {_json(test['value'])}" if "value" in test else ""
        whose = {"person": "she has none", "group": "the group has none"}.get(test["type"], "nothing is known")
        found = f"it is {_json(test['found'])}" if "found" in test else whose
        if test["holds"] is None:
            found = "what is kept of her cannot be read"
        elif test.get("filled_in"):
            found += ", as kept"
        return f"{test['key']} {test['operator']}{wanted}: {found}"
    cohort = cohorts.get(test["key"])
    said = {True: "she is", False: "she is not", None: "nothing can be said"}[test.get("found")]
    if cohort is None:
        return f"{test['operator']} cohort {test['key']}: nobody defines it"
    source = ", as given" if cohort["source"] == "given" else ""
    detail = f" ({cohort['detail']})" if "detail" in cohort else ""
    return f"{test['operator']} cohort {test['key']}: {said}{source}{detail}"


def _cohort_lines(test: Mapping[str, Any], cohorts: Mapping[str, Any]) -> Iterator[str]:
    why = cohorts.get(test["key"], {}).get("why") if test["type"] == "cohort" else None
    if why is not None:
        yield from tree_lines(msgspec.convert(why, Why).reason, depth=4)


def _stretches(variants: Mapping[str, Any]) -> str:
    below = ", ".join(f"{each['variant']} below {each['below']:g}" for each in variants["stretches"])
    return f"{variants['variant'] or 'none'} ({below})"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()

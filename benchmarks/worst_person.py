"""The worst person that the limits allow: what folding one more event into her record costs, and asking it all anew.

Each row is a set of definitions right below a bound (4,096 entries a timeline, 64 KiB a record) and somebody who
fills it. In the last one every condition's cap is exceeded, so that most answers are unknown.
"""

from __future__ import annotations

import time
import timeit
from typing import Any, NamedTuple

from benchmarks.parts import registry_of
from cohort_store.conditions.aggregate import ENTRIES_MAX
from cohort_store.deltas import Delta, DeltaEntry
from cohort_store.durations import format_instant
from cohort_store.folding import Folded, advance, fold
from cohort_store.plans import TeamPlan, compile_plan
from cohort_store.records import EMPTY, Record, encode_record
from cohort_store.subjects import PERSON, Subject

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
HER = Subject(1, PERSON, "00000000-0000-4000-8000-000000000001")
REPEATS = 5
LACKING = "never"
"""An event that she never has."""


class Result(NamedTuple):
    """What she has, and milliseconds of CPU."""

    name: str
    conditions: int
    entries: int
    record_bytes: int
    fold_ms: float
    advance_ms: float


def measure() -> list[Result]:
    """Each set of definitions, filled."""
    regular = {"kind": "regularly", "event": "a", "period": "1h", "periods": 681, "min_periods": 681, "times": 3}
    averages = [_aggregate("avg", number) for number in range(11)]
    texts = [{**_aggregate("distinct", number), "value": 900} for number in range(3)]
    return [
        _measured("4 counts of 1,000, apart", [_count(number) for number in range(4)], 5_000, 60_000),
        _measured("681 periods of 3", [regular], 5_000, 480_000),
        _measured("9 sequences, never completed", [_sequence(number) for number in range(9)], 256, 60_000),
        _measured(f"11 averages of {ENTRIES_MAX}", averages, ENTRIES_MAX, 60_000),
        _measured("11 averages, beyond their caps", averages, 2 * ENTRIES_MAX, 60_000),
        _measured("3 x 900 distinct texts", texts, 900, 60_000),
    ]


def _count(number: int) -> dict[str, Any]:
    """Of intervals that follow each other, the last one open: so each keeps entries of its own."""
    since, until = (
        format_instant(NOW_MS - 60_000 * minutes) for minutes in (4_000 - 1_000 * number, 3_001 - 1_000 * number)
    )
    return {"kind": "count", "event": "a", "n": 1_000, "since": since, **({"until": until} if number < 3 else {})}


def _sequence(number: int) -> dict[str, Any]:
    ends = {"first": {"event": f"a{number}"}, "then": {"event": LACKING}}
    return {"kind": "sequence", **ends, "then_within": "1h", "within": "30d"}


def _aggregate(fn: str, number: int) -> dict[str, Any]:
    return {"kind": "aggregate", "event": "a", "property": f"p{number}", "fn": fn, "value": 999, "within": "30d"}


def _measured(name: str, conditions: list[dict[str, Any]], events: int, apart_ms: int) -> Result:
    cohorts = [{"key": f"c{number}", "when": when} for number, when in enumerate(conditions)]
    plan = compile_plan(registry_of(cohorts)).team(1)
    before = _folded(EMPTY, plan, [number * apart_ms for number in range(1, events + 1)])
    delta = [_delta(plan, [0])]
    fold_s = min(
        timeit.repeat(lambda: fold(before, delta, plan, NOW_MS), timer=time.process_time, number=1, repeat=REPEATS)
    )
    advance_s = min(
        timeit.repeat(lambda: advance(before, plan, NOW_MS), timer=time.process_time, number=1, repeat=REPEATS)
    )
    entries = sum(map(len, before.timelines.values()))
    return Result(name, len(conditions), entries, len(encode_record(before)), fold_s * 1e3, advance_s * 1e3)


def _folded(record: Record, plan: TeamPlan, ago_ms: list[int]) -> Record:
    outcome = fold(record, [_delta(plan, ago_ms)], plan, NOW_MS - 1)
    if not isinstance(outcome, Folded):
        raise TypeError("her events changed nothing")
    return outcome.record


def _delta(plan: TeamPlan, ago_ms: list[int]) -> Delta:
    """Events that every selector wants, each with another value."""
    return Delta(
        HER,
        tuple(
            DeltaEntry(handle, NOW_MS - ago, 2**31 + number, None if selector.value is None else 10**6 * ago + number)
            for handle, selector in plan.selectors.items()
            if selector.alternatives[0].event != LACKING
            for number, ago in enumerate(ago_ms)
        ),
    )


def report(found: list[Result]) -> None:
    """The figures, as they are quoted."""
    print("the worst person that the limits allow: one more event, and everything asked anew (as a timer does)")
    for each in found:
        size = f"{each.entries:5,} entries {each.record_bytes / 1024:5.1f} KiB"
        print(f"  {each.name:32} {size}  fold {each.fold_ms:6.2f} ms  advance {each.advance_ms:6.2f} ms")


if __name__ == "__main__":
    report(measure())

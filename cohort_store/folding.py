"""Folding: the state rule and the evaluation rule, in one place.

**State rule.** A record is the union of what it was and what came, pruned to what the active conditions
keep (`Condition.keep`); of a register's writes the highest is kept, as long as a condition names it. Nothing else
ever changes it, so order, duplicates and redelivery do not matter. Of somebody who was forgotten, what her tombstone
keeps away (forgetting.py) counts as if it had never come.

**Evaluation rule.** After that, the cohorts that read a changed timeline or register are asked anew, at one instant;
a timer asks all of them. What differs from the stored memberships is the change. Where a timeline was cut at a cap,
a cohort may have to be told as unknown: then its negative handle is stored (exactness.py).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cohort_store.deltas import Delta
from cohort_store.exactness import after_cutting, next_change_of, verdict_of
from cohort_store.forgetting import admitted
from cohort_store.plans import AnyBound, Ask, BoundCondition, BoundRegister, CohortPlan, TeamPlan, Touched
from cohort_store.records import EMPTY, Ahead, Forgotten, Record, Register, register_wins
from cohort_store.timelines import Entry, Timeline, union

AHEAD_MAX = 1_024
"""Entries a record that may be later than their own arrival and not yet due."""


class Folded(NamedTuple):
    """What folding came to. `joined` and `departed` hold handles of cohort versions, negative ones of unknown ones."""

    record: Record
    joined: tuple[int, ...]
    """Stored now and not before. For a complemented version that means: left."""
    departed: tuple[int, ...]
    """Stored before and not now. For a complemented version that means: entered."""
    due_ms: int | None
    """When to look again, as far as what was asked now can tell; None: not at all."""
    is_whole: bool
    """Whether everything was asked that time alone can change, so that `due_ms` is all there is to wait for."""
    overflow: tuple[Ahead, ...] = ()
    """Entries that were refused, being too many that are dated later than their arrival."""
    cut: int = 0
    """How many timelines were cut at a cap, and had not been before or only up to an earlier instant."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The deltas said nothing that matters: the record is what it was, and no write is needed."""


def fold(record: Record, deltas: Iterable[Delta], plan: TeamPlan, now: int) -> Folded | Replayed:
    """Fold deltas of one subject into her record and ask the cohorts that they touch, at `now`.

    `now` must not be lower than at the record's last fold. Unless the answer `is_whole`, `due_ms` covers the
    touched conditions only: the caller keeps the earlier of it and what is stored.
    """
    if record.forgotten is not None:
        deltas = [admitted(delta, record.forgotten) for delta in deltas]
    entries, written, arriving = _gather(record, deltas, plan)
    ahead: tuple[Ahead, ...] = record.ahead
    overflow: tuple[Ahead, ...] = ()
    if arriving or ahead:
        entries, ahead, overflow = _admit(record, entries, arriving, now)
    changed: dict[int, Timeline] = {}
    for selector, fresh in entries.items():
        before = record.timelines.get(selector, ())
        after = union(before, fresh)
        if after is not before:
            changed[selector] = after
    if not changed and not written and not overflow:
        return Replayed()
    registers = {**record.registers, **written} if written else record.registers
    merged = Record(
        record.memberships, {**record.timelines, **changed}, registers, ahead, record.inexact, record.forgotten
    )
    folded = _settle(merged, _touched(plan, changed, written), plan, now)
    if overflow:
        return folded._replace(overflow=overflow)
    return Replayed() if folded.record == record else folded


def advance(record: Record, plan: TeamPlan, now: int) -> Folded:
    """Ask everything anew at `now`: for a timer, and when the plan itself has changed.

    Timelines and registers that no condition reads any more, and memberships in versions that are gone, are dropped
    silently. `due_ms` covers the whole record. A cohort that reads nothing of what she has is asked only where
    she is stored in it: for an empty history nobody is.
    """
    known, registers, memberships = record.timelines, record.registers, record.memberships
    if any(selector not in plan.readers for selector in known):
        known = {selector: line for selector, line in known.items() if selector in plan.readers}
    if registers and any(name not in plan.register_readers for name in registers):
        registers = {name: register for name, register in registers.items() if name in plan.register_readers}
    touched = _touched(plan, known, registers)
    present = Record(memberships, known, registers, record.ahead, record.inexact, record.forgotten)
    asked = {cohort.handle for cohort in touched.cohorts}
    unasked = [handle for handle in memberships if abs(handle) not in asked]
    if not unasked:
        return _settle(present, touched, plan, now)
    stale = frozenset(handle for handle in unasked if abs(handle) not in plan.by_handle)
    others = [plan.by_handle[abs(handle)] for handle in sorted(unasked) if handle not in stale]
    present = present._replace(memberships=memberships - stale)
    folded = _settle(present, touched._replace(cohorts=(*touched.cohorts, *others)), plan, now)
    return folded._replace(departed=folded.departed + tuple(sorted(stale)))


def _touched(plan: TeamPlan, selectors: Collection[int], registers: Collection[str]) -> Touched:
    if len(selectors) == 1 and not registers:
        (selector,) = selectors
        return plan.touched_by[selector]
    cohorts = {cohort.handle: cohort for selector in selectors for cohort in plan.cohorts_reading[selector]}
    conditions = dict.fromkeys(index for selector in selectors for index in plan.readers[selector])
    if registers:
        cohorts |= {cohort.handle: cohort for name in registers for cohort in plan.cohorts_reading_register[name]}
        conditions |= dict.fromkeys(index for name in registers for index in plan.register_readers[name])
    return Touched(tuple(cohorts.values()), tuple(conditions), tuple(selectors), tuple(registers))


def ask_at(record: Record, plan: TeamPlan, now: int) -> Ask:
    """The verdicts of a team's conditions for a record at an instant, each worked out once."""
    return _asking(record, plan.conditions, now)


def next_change(record: Record, plan: TeamPlan, conditions: Iterable[int], now: int) -> int | None:
    """The earliest later instant at which a verdict of these conditions can differ with no new event; may be early."""
    soonest: int | None = None
    for index in conditions:
        due = _turn(plan.conditions[index], record, now)
        if due is not None and (soonest is None or due < soonest):
            soonest = due
    return soonest


def _gather(
    record: Record, deltas: Iterable[Delta], plan: TeamPlan
) -> tuple[dict[int, list[Entry]], dict[str, Register], set[Ahead]]:
    """Entries by selector, register writes that win, and the entries dated later than their arrival."""
    entries: dict[int, list[Entry]] = {}
    registers: dict[str, Register] = {}
    arriving: set[Ahead] = set()
    for delta in deltas:
        for selector, time_ms, tag, value in delta.entries:
            if selector not in plan.readers:
                continue
            entries.setdefault(selector, []).append((time_ms, tag) if value is None else (time_ms, tag, value))
            if delta.arrival_ms is not None and time_ms > delta.arrival_ms:
                arriving.add((time_ms, selector, tag))
        for name, version, text in delta.registers:
            if name not in plan.register_readers:
                continue
            present = registers.get(name) or record.registers.get(name)
            if register_wins((version, text), present):
                registers[name] = (version, text)
    return entries, registers, arriving


def _admit(
    record: Record, entries: dict[int, list[Entry]], arriving: set[Ahead], now: int
) -> tuple[dict[int, list[Entry]], tuple[Ahead, ...], tuple[Ahead, ...]]:
    """Hold the entries dated later than their arrival to their bound: admitted entries, ahead, overflow."""
    waiting = {each for each in record.ahead if each[0] > now}
    fresh = sorted(each for each in arriving if each[0] > now and each not in waiting)
    room = AHEAD_MAX - len(waiting)
    overflow = fresh[room:]
    waiting.update(fresh[:room])
    if overflow:
        refused = set(overflow)
        entries = {
            selector: [entry for entry in line if (entry[0], selector, entry[1]) not in refused]
            for selector, line in entries.items()
        }
    return entries, tuple(sorted(waiting)), tuple(overflow)


def _settle(record: Record, touched: Touched, plan: TeamPlan, now: int) -> Folded:
    """Prune the touched timelines, ask the touched cohorts, find the next due time.

    Why pruned before asked: what is told now then follows from what is kept, as everything told later does.
    """
    memberships, whole, registers, ahead, inexact_before, tombstone = record
    timelines = _prune(whole, touched.selectors, plan, now)
    inexact = after_cutting(inexact_before, whole, touched.selectors, plan, now)
    if ahead:
        ahead = _still_ahead(ahead, timelines, now)
    forgotten = _still_kept(tombstone, now)
    after = Record(memberships, timelines, registers, ahead, inexact, forgotten)
    joined, departed = _changed(memberships, touched.cohorts, _asking(after, plan.conditions, now))
    if joined or departed:
        after = after._replace(memberships=(memberships | frozenset(joined)) - frozenset(departed))
    is_whole = len(touched.selectors) == len(whole) and len(touched.registers) == len(registers)
    due_ms = _due(touched.conditions, plan, after, now)
    if forgotten is not None and (due_ms is None or forgotten.until_ms < due_ms):
        due_ms = forgotten.until_ms
    cut = sum(lost_ms != inexact_before.get(selector) for selector, lost_ms in inexact.items()) if inexact else 0
    return Folded(after if after.is_stored else EMPTY, tuple(joined), tuple(departed), due_ms, is_whole, (), cut)


def _still_kept(forgotten: Forgotten | None, now: int) -> Forgotten | None:
    return None if forgotten is None or forgotten.until_ms <= now else forgotten


def _changed(memberships: frozenset[int], cohorts: Sequence[CohortPlan], ask: Ask) -> tuple[list[int], list[int]]:
    """What is to be stored of these cohorts and is not, and what is stored of them and is not to be."""
    joined: list[int] = []
    departed: list[int] = []
    for cohort in cohorts:
        handle, verdict = cohort.handle, cohort.verdict(ask)
        stored = verdict is not None and verdict is not cohort.complemented
        if stored is not (handle in memberships):
            (joined if stored else departed).append(handle)
        if cohort.may_be_unknown and (verdict is None) is not (-handle in memberships):
            (joined if verdict is None else departed).append(-handle)
    return joined, departed


def _still_ahead(ahead: tuple[Ahead, ...], timelines: Mapping[int, Timeline], now: int) -> tuple[Ahead, ...]:
    """Those of `ahead` that are kept and not due yet."""
    return tuple(each for each in ahead if each[0] > now and _is_kept(each, timelines))


def _is_kept(ahead: Ahead, timelines: Mapping[int, Timeline]) -> bool:
    time_ms, selector, tag = ahead
    line = timelines.get(selector, ())
    index = bisect_left(line, (time_ms, tag))
    return index < len(line) and line[index][:2] == (time_ms, tag)


def _asking(record: Record, conditions: Sequence[AnyBound], now: int) -> Ask:
    found: dict[int, bool | None] = {}

    def ask(index: int) -> bool | None:
        if index in found:
            return found[index]
        bound = conditions[index]
        if isinstance(bound, BoundRegister):
            verdict: bool | None = bound.condition.holds(record.registers.get(bound.register), now)
        else:
            verdict = verdict_of(bound, record.timelines, record.inexact, now)
        found[index] = verdict
        return verdict

    return ask


def _prune(
    timelines: Mapping[int, Timeline], selectors: Sequence[int], plan: TeamPlan, now: int
) -> Mapping[int, Timeline]:
    """The timelines, those of `selectors` cut to the union of what the conditions that read them keep."""
    pruned = timelines
    for selector in selectors:
        kept = _kept(selector, timelines, plan, now)
        if kept is timelines[selector]:
            continue
        if not kept:
            pruned = {other: line for other, line in pruned.items() if other != selector}
        else:
            pruned = {**pruned, selector: kept}
    return pruned


def _kept(selector: int, timelines: Mapping[int, Timeline], plan: TeamPlan, now: int) -> Timeline:
    kept: Timeline = ()
    readers = plan.readers[selector]
    for index in readers:
        bound = plan.conditions[index]
        if isinstance(bound, BoundRegister):
            continue
        if len(readers) == 1 and len(bound.selectors) == 1:
            (kept,) = bound.condition.keep((timelines[selector],), now)
            return kept
        parts = bound.condition.keep(bound.read(timelines), now)
        for handle, part in zip(bound.selectors, parts, strict=True):
            if handle == selector:
                kept = union(kept, part) if kept else part
    return kept


def _turn(bound: AnyBound, record: Record, now: int) -> int | None:
    """The earliest later instant at which its verdict can differ with no new event; may be early."""
    if isinstance(bound, BoundRegister):
        return bound.condition.next_change(record.registers.get(bound.register), now)
    return next_change_of(bound, record.timelines, record.inexact, now)


def _due(conditions: Sequence[int], plan: TeamPlan, record: Record, now: int) -> int | None:
    """The earliest instant at which a verdict, or what is worth keeping, can differ with no new event."""
    soonest: int | None = None
    for index in conditions:
        bound = plan.conditions[index]
        due = _turn(bound, record, now)
        if due is None and isinstance(bound, BoundCondition):
            due = bound.condition.forget_at(bound.read(record.timelines), now)
        if due is not None and (soonest is None or due < soonest):
            soonest = due
    return soonest

"""One person's roll call: the product's folding, driven the way a membership worker drives it.

Nothing here decides anything; it only feeds deltas, keeps the due time by the timers' rule (after a fold the earlier
of the stored and the new one stays, after an advance the new one replaces it) and reads memberships back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import Delta, DeltaEntry, RegisterWrite
from cohort_store.folding import Folded, Replayed, advance, fold
from cohort_store.forgetting import erased
from cohort_store.person_updates import update_of
from cohort_store.plans import TeamPlan, compile_plan
from cohort_store.records import EMPTY, Forgotten, Record, decode_record, encode_record
from cohort_store.registry import Registry
from cohort_store.subjects import PERSON, Subject
from cohort_store.timelines import tag_of
from tests.oracle.membership import Event, members_at

SOMEBODY = Subject(1, PERSON, "somebody")


def registry_of(cohorts: Sequence[dict[str, Any]], before: Registry | None = None) -> Registry:
    """The registry with exactly these cohorts in force."""
    parsed = [parse_cohort(cohort) for cohort in cohorts]
    return assign(before or Registry(), parsed, {}, applied="test", now=0)


def plan_of(cohorts: Sequence[dict[str, Any]]) -> TeamPlan:
    """The compiled plan of these cohorts alone."""
    return compile_plan(registry_of(cohorts)).team(1)


def delta_of(plan: TeamPlan, events: Collection[Event], arrival_ms: int | None = None) -> Delta:
    """What a router makes of a person's events."""
    entries = tuple(
        DeltaEntry(handle, event.time_ms, tag_of(event.uuid), value)
        for event in events
        for handle, selector in plan.selectors.items()
        if selector.holds(event.event, event.properties)
        for value in [None if selector.value is None else selector.value.of(event.properties)]
        if (value is None) is (selector.value is None)
    )
    writes = tuple(
        write for event in events for write in update_of(event.properties, event.time_ms, plan.person_properties).writes
    )
    late = arrival_ms is not None and any(event.time_ms > arrival_ms for event in events)
    return Delta(SOMEBODY, entries, writes, arrival_ms=arrival_ms if late else None)


def as_delta(record: Record) -> Delta:
    """All that a record knows, as a delta: what a merge sends to the winner."""
    entries = tuple(
        DeltaEntry(handle, entry[0], entry[1], entry[2] if len(entry) == 3 else None)
        for handle, line in record.timelines.items()
        for entry in line
    )
    registers = tuple(RegisterWrite(name, version, value) for name, (version, value) in record.registers.items())
    return Delta(SOMEBODY, entries, registers)


def members(record: Record, plan: TeamPlan) -> dict[str, bool | None]:
    """By cohort key, whether the record's person is a member: stored, or for a complemented version not stored.

    None where nothing can be said.
    """
    stored = record.memberships
    return {c.key: None if -c.handle in stored else (c.handle in stored) is not c.complemented for c in plan.cohorts}


class Roll:
    """A record with its due time."""

    def __init__(self, plan: TeamPlan) -> None:
        self.plan = plan
        self.record = EMPTY
        self.due_ms: int | None = None
        self.changes: list[tuple[int, int, bool]] = []
        """(instant, handle, stored) of every flip."""

    def receive(self, events: Collection[Event], now: int) -> None:
        self.fold(delta_of(self.plan, events, arrival_ms=now), now)

    def fold(self, delta: Delta, now: int) -> None:
        outcome = fold(self.record, [delta], self.plan, now)
        if isinstance(outcome, Replayed):
            return
        self._store(outcome, now)
        if outcome.due_ms is not None and (self.due_ms is None or outcome.due_ms < self.due_ms):
            self.due_ms = outcome.due_ms

    def run_timers(self, now: int) -> None:
        """Fire every timer that is due at or before now, each at its own instant."""
        while self.due_ms is not None and self.due_ms <= now:
            self.advance(self.due_ms)

    def advance(self, now: int) -> None:
        outcome = advance(self.record, self.plan, now)
        assert outcome.due_ms is None or outcome.due_ms > now, "a timer that is due at once fires for ever"
        self._store(outcome, now)
        self.due_ms = outcome.due_ms

    def forget(self, forgotten: Forgotten, now: int) -> None:
        """Erase what was told of her, and ask everything anew."""
        self.record = erased(self.record, forgotten)
        self.advance(now)

    def adopt(self, plan: TeamPlan, now: int) -> None:
        """Go over to another plan, as a worker does with every record of a shard."""
        self.plan = plan
        self.advance(now)

    def members(self) -> dict[str, bool | None]:
        return members(self.record, self.plan)

    def _store(self, outcome: Folded, now: int) -> None:
        assert outcome.due_ms is None or outcome.due_ms > now, "a timer that is due at once fires for ever"
        self.record = decode_record(encode_record(outcome.record)) if outcome.record.is_stored else EMPTY
        self.changes += [(now, handle, True) for handle in outcome.joined]
        self.changes += [(now, handle, False) for handle in outcome.departed]


def assert_follows(
    roll: Roll, cohorts: Sequence[dict[str, Any]], events: Sequence[Event], instants: Iterable[int]
) -> None:
    """With nothing but its timers, the roll agrees with the oracle at each of these (ascending) instants."""
    for t in instants:
        roll.run_timers(t)
        assert roll.members() == members_at(cohorts, events, t), f"at {t}"

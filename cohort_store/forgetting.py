"""Forgetting: what is left of somebody's record once she is erased, and what must not bring her back.

A tombstone stays in her record in the place of all that was told of her. While it is there, whatever comes of her from
its instant or before counts as if it had never come: a delta that is delivered again, one that a router makes of a
stretch of the sources that it reads again, a seed or a mend out of an old history. It is kept for longer than the
topics keep what they hold, and goes by her record's timer. What comes of later begins a new history.

From before the instant are

* an event that is dated at or before it, and one that is dated later and reached the log by then. A seed does not tell
  when its events did, only when it was pruned: one that was pruned by then adds nothing that is dated later;
* a write of an event's to a register, by the event's time, and a place in a static list, which has no time;
* a person's whole state, up to the highest version that was known of her.

So she is, from then on, as somebody who only did what came after the instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cohort_store.deltas import Delta
from cohort_store.person_updates import STATES_ABOVE
from cohort_store.records import Forgotten, Record
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject


def admitted(delta: Delta, forgotten: Forgotten) -> Delta:
    """What of a delta does not come from before."""
    at_ms = forgotten.at_ms
    if delta.arrival_ms is not None and delta.arrival_ms <= at_ms:
        return Delta(delta.subject)
    return delta._replace(
        entries=tuple(entry for entry in delta.entries if entry.time_ms > at_ms),
        registers=tuple(write for write in delta.registers if _is_later(write.version, forgotten)),
    )


def erased(record: Record, forgotten: Forgotten) -> Record:
    """What is left of a record, and the tombstone. Her memberships stay what they were, until they are asked anew.

    An entry that is dated later stays, unless it waits for its time: then it came before it happened. Of her registers
    nothing stays, since a write may be dated later than it came. Where that was done before, all that there is is new.
    """
    present = record.forgotten or forgotten
    states = highest_state(version for version, _ in record.registers.values())
    tombstone = Forgotten(
        max(forgotten.at_ms, present.at_ms),
        max(forgotten.until_ms, present.until_ms),
        max(forgotten.state, present.state),
    )
    if record.forgotten is not None and record.forgotten.at_ms >= forgotten.at_ms:
        return record._replace(forgotten=tombstone)
    waiting = {(selector, time_ms, tag) for time_ms, selector, tag in record.ahead}
    lines = {
        selector: tuple(entry for entry in line if entry[0] > forgotten.at_ms and (selector, *entry[:2]) not in waiting)
        for selector, line in record.timelines.items()
    }
    timelines = {selector: line for selector, line in lines.items() if line}
    inexact = {selector: lost_ms for selector, lost_ms in record.inexact.items() if lost_ms > forgotten.at_ms}
    return Record(
        record.memberships, timelines, {}, (), inexact, tombstone._replace(state=max(states, tombstone.state))
    )


def highest_state(versions: Iterable[int]) -> int:
    """The highest of these registers' versions that is a whole state's; -1 where none is."""
    return max((version for version in versions if version >= STATES_ABOVE), default=-1)


def _is_later(version: int, forgotten: Forgotten) -> bool:
    # What is set once has its time's negative for a version.
    return version > forgotten.state if version >= STATES_ABOVE else abs(version) > forgotten.at_ms


class Origin(NamedTuple):
    """Whose event something is, and when it happened and came."""

    team: int
    person_id: str | None
    distinct_id: str | None
    time_ms: int
    arrival_ms: int


class Forgettings(NamedTuple):
    """Persons and distinct ids that were forgotten, each with the latest instant of it."""

    instants: Mapping[Subject, int] = {}

    def keep_away(self, event: Origin) -> bool:
        """Whether it is somebody's who was forgotten, and from before.

        One without a person is the distinct id's, which may be a person's own id too.
        """
        team, named = event.team, event.person_id or event.distinct_id or ""
        at_ms = self.instants.get(Subject(team, PERSON, named))
        if at_ms is None and not event.person_id:
            at_ms = self.instants.get(Subject(team, DISTINCT_ID, named))
        return at_ms is not None and min(event.time_ms, event.arrival_ms) <= at_ms

    def was(self, person: Subject, time_ms: int) -> bool:
        """Whether somebody was forgotten at that instant or later."""
        return time_ms <= self.instants.get(person, time_ms - 1)

"""One partition that is owned: its shards, its clock, how far it was folded, and what waits in messages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cohort_store.deltas import PERSON_REGISTER, Delta, DeltaMessage, Erasure
from cohort_store.forgetting import highest_state
from cohort_store.ports import DistinctIdWrite, Offset
from cohort_store.records import Forgotten, Record
from cohort_store.subjects import DISTINCT_ID, Subject
from processors.membership.progress import ProgressClock, Reading
from processors.membership.shards import Shard, Work

DELTAS = "muster.deltas"
NOBODYS_KEPT_MS = 365 * 24 * 3_600_000
"""How long a distinct id that became nobody's is kept from older pairs: longer than topics keep those."""
_NO_OFFSET = Offset(-1, b"")


class Received(NamedTuple):
    """A message of muster.deltas with its offset."""

    offset: int
    message: DeltaMessage


@dataclass(slots=True)
class Partition:
    """See the module's docstring. As of the last commits, but for `clock` and `offset`, which input moves."""

    number: int
    shards: dict[int, Shard]
    clock: ProgressClock
    offset: Offset
    """Behind everything that was taken in."""
    changes_offset: int
    """How far its partition of muster.membership-changes needs no looking at."""
    records: dict[Subject, Record] = field(default_factory=dict)
    kept_up_ms: int = 0
    """When idle positions last kept up with time, on the monotonic clock."""
    was_sought: bool = True
    """Whether the next messages come from a place that was just looked up: only then may there be a gap before them."""

    def has_gap(self, messages: Sequence[Received]) -> bool:
        """Whether messages are missing between what was taken in and these, or among these."""
        expected = self.offset.next
        if self.was_sought:
            expected = max(expected, messages[0].offset)
        for offset, _ in messages:
            if offset > expected:
                return True
            expected = max(expected, offset + 1)
        return False

    def take(self, messages: Sequence[Received], elapsed_ms: int) -> list[Work]:
        """What waits for each shard, from messages in the order of their offsets; what a shard has folded does not."""
        works: dict[int, Work] = {}
        folded = {number: _next(shard) for number, shard in self.shards.items()}
        for offset, message in messages:
            for mark in message.marks:
                self.clock.observe(mark, elapsed_ms)
            for number, deltas in message.shards:
                if folded.get(number, offset + 1) > offset:
                    continue
                work = works.get(number)
                if work is None:
                    work = works[number] = Work(self.shards[number], {})
                _put(work, deltas, message)
            for number, warm_from_ms in message.restored:
                if folded.get(number, offset + 1) <= offset:
                    works.setdefault(number, Work(self.shards[number], {})).restored_ms = warm_from_ms
        if messages[-1].offset >= self.offset.next:
            self.offset = Offset(messages[-1].offset + 1, messages[-1].message.id)
        self.was_sought = False
        for work in works.values():
            work.offsets = self.reached(work.shard)
        return list(works.values())

    def reached(self, shard: Shard) -> dict[str, Offset]:
        """A shard's offsets once all that was taken in is folded; one that is ahead of that stays ahead."""
        present = shard.position.offsets.get(DELTAS, _NO_OFFSET)
        return {DELTAS: self.offset if self.offset.next > present.next else present}

    def is_behind(self, shard: Shard, reading: Reading) -> bool:
        """Whether a shard's position says less than is known."""
        position = shard.position
        return (
            not shard.known
            or now_of(shard, reading) != position.now_ms
            or reading.stale is not position.stale
            or _next(shard) < self.offset.next
        )


def now_of(shard: Shard, reading: Reading) -> int:
    """The shard's now: never less than at its last commit."""
    return shard.position.now_ms if reading.now_ms is None else max(reading.now_ms, shard.position.now_ms)


def _next(shard: Shard) -> int:
    return shard.position.offsets.get(DELTAS, _NO_OFFSET).next


def _put(work: Work, deltas: Sequence[Delta], message: DeltaMessage) -> None:
    if message.erasure is not None:
        _forget(work, deltas, message.erasure)
        return
    for delta in deltas:
        subject = delta.subject
        if subject.kind != DISTINCT_ID:
            work.deltas.setdefault(subject, []).append(delta)
            continue
        for name, version, value in delta.registers:
            if name == PERSON_REGISTER:
                kept_ms = 0 if value else NOBODYS_KEPT_MS
                work.distinct_ids.append(DistinctIdWrite(subject.team, subject.id, value, version, kept_ms))
    if message.is_seeds:
        work.seeded.update(delta.subject for delta in deltas)
    elif message.mended is not None:
        work.mended.update((delta.subject, message.mended) for delta in deltas)
    elif work.seeded:
        work.seeded.difference_update(delta.subject for delta in deltas)


def _forget(work: Work, deltas: Sequence[Delta], erasure: Erasure) -> None:
    at_ms, until_ms = erasure
    for subject in [delta.subject for delta in deltas]:
        if subject.kind == DISTINCT_ID:
            # One more, so that a pair of that very millisecond stays away too.
            write = DistinctIdWrite(subject.team, subject.id, "", at_ms + 1, kept_ms=max(1, until_ms - at_ms))
            work.distinct_ids.append(write)
            continue
        waiting = work.deltas.setdefault(subject, [])
        before = work.forgotten.get(subject, Forgotten(at_ms, until_ms))
        state = highest_state(write.version for delta in waiting for write in delta.registers)
        work.forgotten[subject] = Forgotten(
            max(at_ms, before.at_ms), max(until_ms, before.until_ms), max(state, before.state)
        )

"""The membership worker's loop: adopt what is assigned, fetch, fold, tick, acknowledge.

The group decides who owns which partition of `muster.deltas`; where to read from is decided by the store.
One lock makes a rebalance wait for the step under way. A partition that was lost to another owner, or whose
store did not answer, is released and adopted anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from cohort_store.deltas import DeltaMessage, decode_message
from cohort_store.errors import Reject, Retry
from cohort_store.kafka.registry import Plans
from cohort_store.ports import MembershipStore
from processors import metrics
from processors.kafka.dead_letters import DeadLetter, DeadLetters
from processors.membership.adoption import Log, look_up, same_topics
from processors.membership.concurrency import together
from processors.membership.owner import Owner
from processors.membership.partition import DELTAS, Received
from processors.membership.relay import Relay
from processors.membership.resume import UNREADABLE_ID

DELTAS_A_FOLD_MAX = 8_000
"""Deltas that are folded at a time: enough to share a commit among many, few enough to stay responsive."""
GATHER_LAG_MS = 60_000
"""Who is further behind than this folds in bulk: a commit costs a shard the same for one record as for five."""
GATHER_BYTES_MAX = 1_048_576
GATHER_FETCHES_MAX = 25
"""Fetches that are folded together then."""
RETRY_S = 0.5
VERIFY_S = 5.0
FULL_S = 0.05
"""Pause while an outbox is full."""

_log = logging.getLogger(__name__)


_UNREADABLE = DeltaMessage(UNREADABLE_ID, 0)


class Fetched(NamedTuple):
    """A message as the log holds it."""

    partition: int
    offset: int
    timestamp_ms: int
    value: bytes


class Deltas(Protocol):
    """The consumer's side of muster.deltas, in a group."""

    async def fetch(self) -> Sequence[Fetched]:
        """What came in, waiting briefly; in the order of offsets within a partition."""
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Read on from there."""
        ...

    def pause(self, partitions: Collection[int]) -> None:
        """Fetch nothing from exactly these partitions until told otherwise."""
        ...

    async def acknowledge(self, offsets: Mapping[int, int]) -> None:
        """Tell the group how far each partition is folded; for lag tools only."""
        ...


class Parts(NamedTuple):
    """What a worker is made of."""

    store: MembershipStore
    owner: Owner
    relay: Relay
    deltas: Deltas
    log: Log
    plans: Plans
    dead_letters: DeadLetters
    outbox_max: int


class Worker:
    """See the module's docstring."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._owner = parts.owner
        self._lock = asyncio.Lock()
        self._assigned: set[int] = set()
        self._was_full = False
        self._doubtful: set[int] = set()
        """Partitions of which another topic was found than the one that was folded."""

    async def assign(self, partitions: Iterable[int]) -> None:
        """Own these partitions from the next step on; the group has given them."""
        async with self._lock:
            for number in partitions:
                await self._release(number)
                self._assigned.add(number)

    async def revoke(self, partitions: Iterable[int]) -> None:
        """Own these no longer; returns when the step under way is over."""
        async with self._lock:
            for number in partitions:
                self._assigned.discard(number)
                await self._release(number)

    async def run(self) -> None:
        """Work until cancelled. Retry is waited out; anything else is a crash and ends the process."""
        beside = (
            asyncio.create_task(self._parts.relay.run(), name="relay"),
            asyncio.create_task(self._verify_always(), name="verifier"),
        )
        try:
            while not any(task.done() for task in beside):
                try:
                    await self.step()
                except Retry as error:
                    _log.warning("membership: %s; looking again at every position", error)
                    metrics.MEMBERSHIP_RETRIES.add(1)
                    async with self._lock:
                        for number in list(self._owner.partitions):
                            await self._release(number)
                    await asyncio.sleep(RETRY_S)
            for task in beside:
                if task.done():
                    task.result()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    async def step(self) -> None:
        """Adopt what is missing, fold what was fetched, run what is due."""
        await self._adopt_missing()
        fetched = await self._fetch()
        async with self._lock:
            is_full = self._is_full()
            if is_full:
                self._seek_back(fetched)
            else:
                received, refused = _decode(fetched)
                await self._bury(refused)
                await self._follow(received)
                for some in slices(received):
                    await self._owner.fold(some)
                await self._owner.tick(is_idle=not fetched)
                await self._bury_overflow()
                self._count_cut()
            self._hand_over()
        if is_full:
            await asyncio.sleep(FULL_S)
        await self._acknowledge()

    async def _fetch(self) -> Sequence[Fetched]:
        """What came in; where it is old anyway, more of it at a time."""
        if self._owner.lag_ms() > GATHER_LAG_MS:
            return await gathered(self._parts.deltas)
        return await self._parts.deltas.fetch()

    async def _follow(self, received: Mapping[int, Sequence[Received]]) -> None:
        """Use the newest plan, and never an older one than a message was made with."""
        versions = (each.message.registry_version for messages in received.values() for each in messages)
        version = max(versions, default=0)
        plans, owner = self._parts.plans, self._owner
        plan = plans.plan if plans.plan.version >= version else await plans.at_least(version)
        if plan.version > owner.plan.version:
            owner.follow(plan)

    def _is_full(self) -> bool:
        """Whether a shard's outbox is at its bound: then nothing is folded and no timer runs until it is carried."""
        full = [shard for shard, count in self._parts.relay.waiting.items() if count >= self._parts.outbox_max]
        if full and not self._was_full:
            _log.warning("membership: outbox of shard %d is full; waiting for Kafka to take its changes", full[0])
        self._was_full = bool(full)
        return self._was_full

    def _seek_back(self, fetched: Sequence[Fetched]) -> None:
        for number, partition in self._owner.partitions.items():
            if any(each.partition == number for each in fetched):
                self._parts.deltas.seek(number, partition.offset.next)

    async def _adopt_missing(self) -> None:
        async with self._lock:
            lost, self._doubtful = self._owner.lost | self._parts.relay.displaced | self._doubtful, set()
            for number in lost & set(self._owner.partitions):
                _log.warning(
                    "membership: partition %d has another owner too, or went on without us; reading it anew", number
                )
                await self._release(number)
            missing = sorted(self._assigned - set(self._owner.partitions))
            self._parts.deltas.pause(missing)
            if missing:
                await self._adopt(missing)
                self._parts.deltas.pause(())

    async def _adopt(self, missing: Sequence[int]) -> None:
        parts, owner = self._parts, self._owner
        plan = await parts.plans.catch_up()
        if plan.version > owner.plan.version:
            owner.follow(plan)
        await together(parts.relay.claim(number) for number in missing)
        for number, standing in (await look_up(parts.store, parts.log, owner, missing)).items():
            if standing.resumed.another_topic:
                _log.warning("membership: partition %d is another topic than before; answers are warming", number)
            owner.adopt(number, standing.resumed, changes_offset=standing.changes_offset)
            await owner.reconcile(number, standing.changes, standing.waiting)
            await parts.relay.look(owner.shards_of(number))
            parts.deltas.seek(number, standing.resumed.next_offset)

    async def _release(self, number: int) -> None:
        self._owner.release(number)
        await self._parts.relay.forget(number)

    def _hand_over(self) -> None:
        """Tell the relay what waits, and the owner what the relay has published."""
        for shard, count in self._owner.told.items():
            self._parts.relay.told(shard, count)
        self._owner.told.clear()
        for number, behind in self._parts.relay.published.items():
            self._owner.published(number, behind)

    async def _acknowledge(self) -> None:
        offsets = {number: partition.offset.next for number, partition in self._owner.partitions.items()}
        await self._parts.deltas.acknowledge(offsets)

    async def _verify_always(self) -> None:
        """Every few seconds: is the log still the one that was folded? Another one may stand under the same name."""
        while True:
            await asyncio.sleep(VERIFY_S)
            try:
                await self._verify()
            except Retry as error:
                _log.warning("membership: whether the topic is still the same is asked again: %s", error)

    async def _verify(self) -> None:
        # Of one just adopted no message was taken in yet: adopting it has compared what its shards had folded.
        offsets = {n: partition.offset for n, partition in self._owner.partitions.items() if partition.offset.last_id}
        if offsets:
            _, same = await same_topics(self._parts.log, offsets)
            self._doubtful |= {number for number in offsets if not same[number]}
        await self._parts.relay.look_again([s for n in self._owner.partitions for s in self._owner.shards_of(n)])

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if letters:
            await self._parts.dead_letters.send(letters)

    def _count_cut(self) -> None:
        metrics.MEMBERSHIP_CUT.add(self._owner.cut)
        self._owner.cut = 0

    async def _bury_overflow(self) -> None:
        overflowed = self._owner.overflowed
        await self._bury(
            [
                DeadLetter(
                    DELTAS,
                    -1,
                    -1,
                    "future_overflow",
                    f"{subject} has too many events dated later than their arrival; this one is at {time_ms} ms",
                    f"{subject} selector={selector} time_ms={time_ms} tag={tag}".encode(),
                    self._owner.now_ms(),
                )
                for subject, (time_ms, selector, tag) in overflowed
            ]
        )
        overflowed.clear()


def slices(received: Mapping[int, Sequence[Received]]) -> Iterator[dict[int, list[Received]]]:
    """The messages in runs of about DELTAS_A_FOLD_MAX deltas, each partition's in order; at least one message a run."""
    run: dict[int, list[Received]] = {}
    count = 0
    for number, messages in received.items():
        for each in messages:
            run.setdefault(number, []).append(each)
            count += each.message.delta_count
            if count >= DELTAS_A_FOLD_MAX:
                yield run
                run, count = {}, 0
    if run:
        yield run


async def gathered(deltas: Deltas) -> list[Fetched]:
    """Several fetches' worth, up to the first that comes back empty, and to GATHER_BYTES_MAX and GATHER_FETCHES_MAX."""
    found: list[Fetched] = []
    size = 0
    for _ in range(GATHER_FETCHES_MAX):
        more = await deltas.fetch()
        found += more
        size += sum([len(each.value or b"") for each in more])
        if not more or size >= GATHER_BYTES_MAX:
            break
    return found


def _decode(fetched: Sequence[Fetched]) -> tuple[dict[int, list[Received]], list[DeadLetter]]:
    """The messages by partition, with an empty one in the place of each that cannot be read; and those."""
    received: dict[int, list[Received]] = {}
    refused: list[DeadLetter] = []
    for partition, offset, timestamp_ms, value in fetched:
        try:
            received.setdefault(partition, []).append(Received(offset, decode_message(value or b"")))
        except Reject as error:
            received.setdefault(partition, []).append(Received(offset, _UNREADABLE))
            refused.append(DeadLetter(DELTAS, partition, offset, "bad_delta", str(error), value or b"", timestamp_ms))
    return received, refused

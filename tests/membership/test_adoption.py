"""Where shards begin of which the store has nothing: it depends on whether they get everything from the history."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from cohort_store.clocks import SteppedClock
from cohort_store.compiling import backfill
from cohort_store.deltas import DeltaMessage
from cohort_store.kafka.topics import DELTAS
from cohort_store.memory import MemoryStore
from cohort_store.plans import compile_plan
from cohort_store.ports import Offset
from processors.membership.adoption import look_up
from processors.membership.owner import Owner, OwnerConfig
from tests.domain.roll import registry_of
from tests.membership.hosts import Script
from tests.membership.parts import Log, Reader, Worried

NOW_MS = 1_700_000_000_000
BUYERS = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "1h"}}
MESSAGES = 3


async def begun(*, has_history: bool, is_filled: bool, messages: int = MESSAGES) -> Offset:
    """Where a shard begins of one partition that holds so many messages."""
    registry = registry_of([BUYERS])
    (cohort,) = registry.team(1).cohorts
    log = Log(1, backfill(registry, {cohort.versions[0].handle: NOW_MS}) if is_filled else registry)
    for number in range(messages):
        log.append(0, DeltaMessage(b"id-%d" % number, 1, ()))
    store, elapsed = MemoryStore(1), itertools.count(step=1_000)
    config = OwnerConfig(1, 1, 5_000, 3_600_000, 100, has_history=has_history)
    owner = Owner(store, SteppedClock(NOW_MS), lambda: next(elapsed), config)
    owner.follow(compile_plan(log.registry))
    reader = Reader(log, Worried("worker", Script(Random(0))))
    standing = (await look_up(store, reader, owner, [0]))[0]
    position = standing.resumed.shards[0].position
    assert position.warm_from_ms == NOW_MS, "it may have missed something, wherever it begins"
    owner.adopt(0, standing.resumed, changes_offset=0)
    await owner.tick()
    again = (await look_up(store, reader, owner, [0]))[0].resumed
    assert not again.another_topic, "what it wrote down is a place in this topic"
    assert again.next_offset == standing.resumed.next_offset
    return position.offsets.get(DELTAS, Offset(0, b""))


async def test_with_a_history_to_fill_it_in_it_begins_at_the_end_of_the_topic() -> None:
    assert await begun(has_history=True, is_filled=True) == Offset(MESSAGES, b"id-2")


@pytest.mark.parametrize(("has_history", "is_filled"), [(False, True), (True, False), (False, False)])
async def test_without_one_or_where_none_was_ever_filled_in_it_begins_at_the_beginning(
    has_history: bool, is_filled: bool
) -> None:
    assert await begun(has_history=has_history, is_filled=is_filled) == Offset(0, b"")


async def test_a_topic_without_a_message_has_no_end_to_begin_at() -> None:
    assert await begun(has_history=True, is_filled=True, messages=0) == Offset(0, b"")

"""Shards that lost their records hear again of who was forgotten; the others do not."""

from collections.abc import Sequence

from cohort_store.deltas import Erasure, decode_message
from cohort_store.ports import Position
from cohort_store.subjects import Subject, shard_of
from processors.forgetting.ports import Kept
from processors.forgetting.reminding import Reminding
from processors.router.packing import Packed
from tests.membership.shards import person

SHARDS, PARTITIONS = 4, 2
FIRST, SECOND = Erasure(1_000, 2_000), Erasure(1_500, 2_500)
ROWS = [Kept(person(number), FIRST if number % 2 else SECOND) for number in range(12)]


class Known:
    """Who was forgotten."""

    async def rows(self) -> list[Kept]:
        return list(ROWS)


class Sent:
    """What was sent, by subject."""

    def __init__(self) -> None:
        self.erasures: dict[Subject, Erasure] = {}

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        for partition, value in messages:
            message = decode_message(value)
            assert message.erasure is not None
            assert {number % PARTITIONS for number, _ in message.shards} == {partition}
            self.erasures |= {delta.subject: message.erasure for delta in message.deltas}
        return {}


def positions(began: int) -> dict[int, Position]:
    """Of which the shards 1 and 2 began anew at that instant."""
    return {
        shard: Position(b"", shard % PARTITIONS, PARTITIONS, 0, 1, warm_from_ms=began if shard in (1, 2) else 0)
        for shard in range(SHARDS)
    }


async def test_a_shard_that_began_anew_is_told_once_for_each_time_and_no_other_one_is() -> None:
    sent = Sent()
    reminding = Reminding(Known(), sent, SHARDS, PARTITIONS)
    await reminding.remind(1, positions(0))
    assert sent.erasures == {}
    await reminding.remind(1, positions(7))
    assert sent.erasures == {each: erasure for each, erasure in ROWS if shard_of(each, SHARDS) in (1, 2)}
    assert sent.erasures
    sent.erasures.clear()
    await reminding.remind(1, positions(7))
    assert sent.erasures == {}
    await reminding.remind(1, positions(9))
    assert sent.erasures

"""Where a partition's shards go on from, for every relation between a position and the topic as it is."""

import pytest

from cohort_store.errors import Crash
from cohort_store.ports import Offset, Position
from processors.membership.resume import Bounds, is_same_topic, last_folded, resume

TOPIC = "muster.deltas"
NOW_MS = 1_700_000_000_000
FRESH = Position(b"", 1, 4, 0, 0, warm_from_ms=NOW_MS)


def _position(next_offset: int, last_id: bytes = b"last", partitions: int = 4) -> Position:
    return Position(b"c", 1, partitions, 500, 3, {TOPIC: Offset(next_offset, last_id)}, sequence=9)


def test_the_furthest_shard_says_which_message_is_compared() -> None:
    positions = {1: _position(20, b"a"), 5: _position(30, b"b"), 9: Position(b"c", 1, 4, 0, 0)}
    assert last_folded(TOPIC, positions) == Offset(30, b"b")


def test_without_a_position_there_is_no_message_to_compare() -> None:
    assert last_folded(TOPIC, {}) is None
    assert is_same_topic(None, Bounds(0, 0), None)


@pytest.mark.parametrize(("end", "same"), [(29, False), (30, True), (31, True)])
def test_a_position_beyond_the_end_belongs_to_another_topic(end: int, same: bool) -> None:
    assert is_same_topic(Offset(30, b"id"), Bounds(0, end), b"id") is same


@pytest.mark.parametrize(("beginning", "same"), [(29, True), (30, True), (31, False)])
def test_a_position_before_the_beginning_belongs_to_an_expired_topic(beginning: int, same: bool) -> None:
    assert is_same_topic(Offset(30, b"id"), Bounds(beginning, 40), b"id") is same


def test_another_id_at_the_last_message_means_another_topic() -> None:
    assert not is_same_topic(Offset(30, b"id"), Bounds(0, 40), b"other")
    assert not is_same_topic(Offset(30, b"id"), Bounds(0, 40), None)


def test_a_position_at_the_beginning_has_no_message_before_it_to_differ() -> None:
    assert is_same_topic(Offset(30, b""), Bounds(30, 40), None)


def test_the_partition_is_read_from_the_shard_that_is_furthest_behind() -> None:
    positions = {1: _position(20), 5: _position(30)}
    resumed = resume((1, 5), TOPIC, positions, Bounds(0, 40), FRESH, same=True)
    assert resumed.next_offset == 20
    assert not resumed.another_topic
    assert resumed.shards[5].position == positions[5], "the one ahead stays ahead"


@pytest.mark.parametrize(
    ("beginning", "is_new", "warm_from_ms"),
    [
        (0, True, 0),
        # It was lost, and who knows whether the topic is as old as what is defined.
        (0, False, NOW_MS),
        (7, True, NOW_MS),
        (7, False, NOW_MS),
    ],
)
def test_a_shard_without_a_position_reads_the_topic_from_its_beginning_and_says_from_when_on_it_is_whole(
    beginning: int, is_new: bool, warm_from_ms: int
) -> None:
    bounds = Bounds(beginning, 40)
    resumed = resume((1, 5), TOPIC, {1: _position(20)}, bounds, FRESH, same=True, is_new=is_new)
    assert resumed.next_offset == beginning
    assert not resumed.shards[5].known
    assert resumed.shards[5].position.warm_from_ms == warm_from_ms
    assert resumed.shards[1].position.warm_from_ms == 0


def test_where_the_history_is_filled_in_again_a_shard_that_lost_its_position_starts_at_the_end() -> None:
    fresh = FRESH._replace(offsets={TOPIC: Offset(40, b"last")})
    resumed = resume((1, 5), TOPIC, {}, Bounds(7, 40), fresh, same=True)
    assert resumed.next_offset == 40
    assert [shard.position for shard in resumed.shards.values()] == [fresh, fresh]
    beside = resume((1, 5), TOPIC, {1: _position(20)}, Bounds(7, 40), fresh, same=True)
    assert beside.next_offset == 20, "the other shard of the partition has yet to read what lies before"


def test_on_another_topic_every_shard_keeps_its_place_in_time_and_starts_at_the_beginning() -> None:
    resumed = resume((1, 5), TOPIC, {1: _position(20), 5: _position(30)}, Bounds(3, 10), FRESH, same=False)
    assert resumed.another_topic
    assert resumed.next_offset == 3
    for shard in resumed.shards.values():
        position = shard.position
        assert position.offsets[TOPIC] == Offset(3, b"")
        assert (position.now_ms, position.sequence, position.warm_from_ms) == (500, 9, NOW_MS)


def test_only_the_shard_whose_next_messages_expired_starts_to_warm_anew() -> None:
    resumed = resume((1, 5), TOPIC, {1: _position(20), 5: _position(30)}, Bounds(25, 40), FRESH, same=True)
    assert resumed.next_offset == 25
    assert resumed.shards[1].position.warm_from_ms == NOW_MS
    assert resumed.shards[5].position.warm_from_ms == 0


def test_positions_of_another_number_of_partitions_are_refused_with_the_procedure() -> None:
    with pytest.raises(Crash, match=r"8 partitions .* now has 4; stop all but membership"):
        resume((1,), TOPIC, {1: _position(20, partitions=8)}, Bounds(0, 40), FRESH, same=True)

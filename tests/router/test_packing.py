"""Many deltas a message, and no message too long."""

from cohort_store.deltas import MESSAGE_BYTES_MAX, Delta, DeltaEntry, Mark, RegisterWrite, decode_message
from cohort_store.subjects import Subject, shard_of
from processors.router.packing import ENTRIES_A_DELTA_MAX, Packer, mark_messages

SHARDS, PARTITIONS = 16, 4


def delta(number: int, entries: int = 1) -> Delta:
    return Delta(Subject(1, 0, f"person-{number}"), tuple(DeltaEntry(s, 1_750_000_000_000, 7) for s in range(entries)))


def packed(deltas: list[Delta]) -> list[tuple[int, list[Delta]]]:
    packer = Packer(SHARDS, PARTITIONS)
    for each in deltas:
        packer.add(each)
    messages = packer.messages(3)
    assert all(len(message.value) <= MESSAGE_BYTES_MAX for message in messages)
    assert all(decode_message(message.value).registry_version == 3 for message in messages)
    return [(message.partition, list(decode_message(message.value).deltas)) for message in messages]


def test_a_partition_gets_its_deltas_in_one_message_shard_by_shard_and_in_order() -> None:
    deltas = [delta(number) for number in range(100)]
    messages = packed(deltas)
    assert [partition for partition, _ in messages] == [0, 1, 2, 3]
    for partition, inside in messages:
        mine = [each for each in deltas if shard_of(each.subject, SHARDS) % PARTITIONS == partition]
        assert inside == sorted(mine, key=lambda each: shard_of(each.subject, SHARDS))


def test_marks_ride_with_the_deltas_of_a_partition_that_has_one_message_only() -> None:
    marks = [Mark("raw", 0, 1, 2)]
    packer = Packer(SHARDS, PARTITIONS)
    packer.add(delta(1))
    (message,) = packer.messages(3, marks)
    assert decode_message(message.value).marks == tuple(marks)
    while len(packer.messages(3, marks)) == 1:
        packer.add(delta(1, entries=ENTRIES_A_DELTA_MAX))
    assert [decode_message(message.value).marks for message in packer.messages(3, marks)] == [(), ()]


def test_a_partition_without_deltas_gets_no_message() -> None:
    assert len(packed([delta(1)])) == 1
    assert packed([]) == []


def test_deltas_beyond_the_bytes_of_a_message_fill_the_next_one() -> None:
    deltas = [delta(1, entries=900) for _ in range(100)]
    messages = packed(deltas)
    assert len(messages) > 1
    assert [each for _, inside in messages for each in inside] == deltas


def test_a_delta_with_too_many_entries_is_cut_and_loses_nothing() -> None:
    whole = delta(1, entries=2 * ENTRIES_A_DELTA_MAX + 1)._replace(
        registers=(RegisterWrite("a", 1, "b"),), arrival_ms=5
    )
    ((_, parts),) = packed([whole])
    assert [len(part.entries) for part in parts] == [ENTRIES_A_DELTA_MAX, ENTRIES_A_DELTA_MAX, 1]
    assert tuple(entry for part in parts for entry in part.entries) == whole.entries
    assert [part.registers for part in parts] == [whole.registers, (), ()]
    assert {part.arrival_ms for part in parts} == {5}


def test_every_message_has_a_random_id_of_its_own() -> None:
    marks = [Mark("t", 0, 1, 2)]
    messages = [decode_message(message.value) for message in mark_messages(3, marks, PARTITIONS)]
    assert len({message.id for message in messages}) == PARTITIONS
    assert [message.marks for message in messages] == [tuple(marks)] * PARTITIONS

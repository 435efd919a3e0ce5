"""Who waits while a router is behind, and who never does."""

from collections.abc import Mapping

from processors.router.alignment import AHEAD_MS, SILENT_S, Alignment
from processors.router.memory import MemoryLog, Stored
from processors.router.progress import Source
from tests.router.building import FIRST, NOW_MS, SECOND, bench, event

HOUR = 3_600_000
SOURCES = [Source("t", number) for number in range(4)]


def read(**hours: int) -> dict[Source, list[Stored]]:
    """Messages of some of the sources `s0` to `s3`, each so many hours before NOW_MS."""
    return {SOURCES[int(name[1:])]: [Stored(0, NOW_MS - ago * HOUR, b"")] for name, ago in hours.items()}


def waiting(alignment: Alignment, messages: Mapping[Source, list[Stored]], elapsed_s: float = 0.0) -> set[int]:
    return {source.partition for source in alignment.look(messages, (), NOW_MS, elapsed_s)}


def test_those_far_ahead_of_the_slowest_wait_until_it_has_come_after() -> None:
    alignment = Alignment()
    assert waiting(alignment, read(s0=9, s1=8, s2=3, s3=2)) == {2, 3}
    assert waiting(alignment, read(s0=4, s1=4)) == {2, 3}
    assert waiting(alignment, read(s0=1, s1=1)) == {0, 1}


def test_the_half_that_is_furthest_behind_is_always_read() -> None:
    assert waiting(Alignment(), read(s0=9, s1=8, s2=7)) == {2}
    assert waiting(Alignment(), read(s0=9)) == set()


def test_a_small_difference_lets_nobody_wait() -> None:
    alignment = Alignment()
    messages = {SOURCES[n]: [Stored(0, NOW_MS - HOUR + n * AHEAD_MS // 3, b"")] for n in range(4)}
    assert waiting(alignment, messages) == set()


def test_a_partition_at_its_end_neither_waits_nor_lets_wait() -> None:
    alignment = Alignment()
    assert waiting(alignment, read(s0=9, s1=8, s2=3, s3=2)) == {2, 3}
    assert alignment.look({}, SOURCES[:3], NOW_MS, 0.0) == frozenset()


def test_a_partition_that_gives_nothing_any_more_is_not_waited_for() -> None:
    alignment = Alignment()
    assert waiting(alignment, read(s0=9, s1=2)) == {1}
    assert waiting(alignment, read(s2=1), SILENT_S / 2) == {2}
    assert waiting(alignment, read(s2=1), SILENT_S) == set()


def test_a_message_that_is_stamped_in_the_future_claims_no_more_than_now() -> None:
    alignment = Alignment()
    messages = {SOURCES[0]: [Stored(0, NOW_MS + HOUR, b"")], SOURCES[1]: [Stored(0, NOW_MS - 1, b"")]}
    assert waiting(alignment, messages) == set()


def test_messages_without_a_time_let_nobody_wait() -> None:
    alignment = Alignment()
    messages = {SOURCES[0]: [Stored(0, -1, b"")], SOURCES[1]: [Stored(0, NOW_MS, b"")]}
    assert waiting(alignment, messages) == set()


async def test_a_router_with_a_backlog_reads_its_partitions_through_the_same_time_and_all_of_them_in_the_end() -> None:
    """With a wait for nobody the second partition, sparse, is through before a tenth of the first one is."""
    log = MemoryLog()
    for number in range(200):
        log.append(FIRST, event(person_id=f"a{number}", timestamp=NOW_MS - HOUR), NOW_MS - HOUR + number * 10_000)
    for number in range(20):
        log.append(SECOND, event(person_id=f"b{number}", timestamp=NOW_MS - HOUR), NOW_MS - HOUR + number * 100_000)
    on = bench(log=log, limit=2)
    apart_ms = []
    for _ in range(150):
        await on.router.step()
        marks = {mark.partition: mark for _, message in on.sink.messages for mark in message.marks}
        if len(marks) == 2 and marks[0].next_offset < 200 and marks[1].next_offset < 20:
            apart_ms.append(marks[1].through_ms - marks[0].through_ms)
    persons = {delta.subject.id for delta in on.sink.deltas()}
    assert persons == {f"a{n}" for n in range(200)} | {f"b{n}" for n in range(20)}
    assert len(apart_ms) > 50
    assert max(apart_ms) <= AHEAD_MS + 200_000


def test_a_partition_that_moved_away_is_forgotten() -> None:
    alignment = Alignment()
    assert waiting(alignment, read(s0=9, s1=2)) == {1}
    alignment.forget()
    assert waiting(alignment, read(s1=1)) == set()

"""What group consumers are given, and in which turn, by a real broker."""

from collections import Counter

from cohort_store.kafka import clients
from cohort_store.kafka.topics import TopicSpec, ensure_topics
from cohort_store.settings import Settings

PARTITIONS, MESSAGES, BYTES = 6, 12_000, 8_000


async def test_partitions_with_a_backlog_are_answered_in_turn(fresh_broker: str) -> None:
    """Some brokers answer one partition a fetch; asked in a random order, one of six waits for a dozen now and then."""
    await ensure_topics(fresh_broker, [TopicSpec("raw", PARTITIONS)])
    async with clients.producer(fresh_broker) as producer:
        for number in range(MESSAGES):
            await producer.send("raw", b"x" * BYTES, partition=number % PARTITIONS)
        await producer.flush()
    consumer = clients.group_consumer(Settings(kafka=fresh_broker, session_timeout_ms=1_000), "test")
    consumer.subscribe(["raw"])
    await consumer.start()
    answers: Counter[int] = Counter()
    apart = 0
    offsets: dict[int, list[int]] = {}
    try:
        while sum(map(len, offsets.values())) < MESSAGES:
            for partition, messages in (await consumer.getmany(timeout_ms=100)).items():
                answers[partition.partition] += 1
                offsets.setdefault(partition.partition, []).extend(message.offset for message in messages)
            if all(len(offsets.get(number, ())) < MESSAGES // PARTITIONS for number in range(PARTITIONS)):
                apart = max(apart, max(answers.values(), default=0) - min(answers[n] for n in range(PARTITIONS)))
    finally:
        await clients.stop(consumer)
    assert all(read == list(range(len(read))) for read in offsets.values())
    assert apart <= 1

"""The services that the other tests stand on do what those tests take for granted."""

import asyncio

import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import TopicSpec, ensure_topics, muster_topics
from tests.services.fixtures import ClickHouse, FreshTopic
from tests.services.redis_servers import RedisCluster

OLD_MS = 1_704_067_200_123


async def test_a_message_keeps_key_value_headers_and_its_old_time(broker: str, fresh_topic: FreshTopic) -> None:
    topic = await fresh_topic()
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        await producer.send_and_wait(topic, b"v", key=b"k", timestamp_ms=OLD_MS, headers=[("why", b"a test")])
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest") as consumer:
        message = await asyncio.wait_for(consumer.getone(), 20)
    assert (message.key, message.value, message.timestamp) == (b"k", b"v", OLD_MS)
    assert message.headers == (("why", b"a test"),)


async def test_the_end_of_a_partition_counts_every_message_of_its_last_batch(
    broker: str, fresh_topic: FreshTopic
) -> None:
    topic = await fresh_topic(3)
    async with AIOKafkaProducer(bootstrap_servers=broker, linger_ms=50) as producer:
        sent = [await producer.send(topic, b"x", partition=0) for _ in range(7)]
        sent.append(await producer.send(topic, b"x", partition=1))
        await asyncio.gather(*sent)
    ends = await end_offsets(broker, [TopicPartition(topic, number) for number in range(3)])
    assert [ends[TopicPartition(topic, number)] for number in range(3)] == [7, 1, 0]


async def test_a_fresh_broker_has_none_of_the_topics_of_the_test_before(fresh_broker: str) -> None:
    created = await ensure_topics(fresh_broker, muster_topics(4))
    assert created == tuple(spec.name for spec in muster_topics(4))


async def test_a_second_fresh_broker_starts_empty_as_well(fresh_broker: str) -> None:
    created = await ensure_topics(fresh_broker, [TopicSpec("muster.events", 2)])
    assert created == ("muster.events",)


def test_a_view_starts_empty_and_never_evicts(view_url: str) -> None:
    with redis.Redis.from_url(view_url) as client:
        assert client.dbsize() == 0
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.set("left", "behind")


def test_what_one_test_leaves_in_the_view_the_next_does_not_see(view_url: str) -> None:
    with redis.Redis.from_url(view_url) as client:
        assert client.dbsize() == 0


def test_a_clickhouse_database_belongs_to_one_test(clickhouse: ClickHouse) -> None:
    import clickhouse_connect

    with clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, database=clickhouse.database
    ) as client:
        assert client.query("SHOW TABLES").result_rows == []


def test_a_cluster_survives_a_killed_master(redis_cluster: RedisCluster) -> None:
    client = redis_cluster.client()
    client.set("{m:7}:p", "kept")
    owner = redis_cluster.master_of("{m:7}:p")
    client.execute_command("WAIT", 1, 5_000, target_nodes=client.get_node_from_key("{m:7}:p"))
    client.close()
    replacement = redis_cluster.kill_master(owner)
    client = redis_cluster.client()
    assert redis_cluster.master_of("{m:7}:p") == replacement
    assert client.get("{m:7}:p") == b"kept"
    client.close()


def test_a_cluster_can_be_made_to_fail_over_from_a_live_master(redis_cluster: RedisCluster) -> None:
    owner = redis_cluster.master_of("{m:7}:p")
    replacement = redis_cluster.force_failover(owner)
    assert redis_cluster.master_of("{m:7}:p") == replacement != owner

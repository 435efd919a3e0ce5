"""Kafka is gone in the midst of a backfill: for a while, for longer than a message waits, or with all that it held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis

from processors.embedded.broker import EmbeddedBroker
from processors.embedded.view import EmbeddedView
from tests.backfill.between import Between, Trouble
from tests.backfill.installation import DEADLINE_S, FilledInstallation
from tests.membership.processes import SECOND, SHARDS, Proxy
from tests.membership.test_process_kills import Broker, proxied_broker
from tests.services.apache_kafka import ApacheKafka
from tests.services.fixtures import KAFKA, ClickHouse

pytestmark = pytest.mark.slow

__all__ = ["proxied_broker"]
PERSONS = 1_500


@pytest.fixture
async def between(clickhouse: ClickHouse) -> AsyncIterator[Between]:
    """So slow that there is a midst of a backfill."""
    async with Between(clickhouse.port, database=clickhouse.database) as stands:
        stands.trouble = Trouble(0, b"\n", times=10_000, delay_s=0.05)
        yield stands


@pytest.mark.parametrize("is_long", [False, True], ids=["for a while", "for longer than a message waits"])
async def test_a_kafka_that_is_gone_for_a_time_is_waited_for_and_nobody_is_missed(
    proxied_broker: Broker, view_url: str, clickhouse: ClickHouse, between: Between, tmp_path: Path, is_long: bool
) -> None:
    proxy = Proxy(proxied_broker.process.port)
    await proxy.start(proxied_broker.proxy_port)
    kafka = f"127.0.0.1:{proxied_broker.proxy_port}"
    async with FilledInstallation(tmp_path, kafka, view_url, clickhouse, persons=PERSONS) as installation:
        installation.request_timeout_ms = 1_000 if is_long else 40_000
        filling = asyncio.create_task(installation.fill_in(between.url))
        await installation.until_noted(lambda status: 2 <= status.part < status.parts)
        proxy.is_down = True
        proxy.cut()
        if is_long:
            async with asyncio.timeout(DEADLINE_S):
                while not any("could not be written to muster.deltas" in each for each in installation.troubles):
                    await asyncio.sleep(0.05)
        else:
            await asyncio.sleep(1.0)
        reached = await installation.until_noted(lambda status: status.part >= 2)
        assert not filling.done()
        proxy.is_down = False
        await filling
        assert reached.part < reached.parts
        await installation.check_members()
    await proxy.stop()


@pytest.mark.services
@pytest.mark.skipif(KAFKA != "apache", reason="the embedded broker keeps nothing: MUSTER_TEST_KAFKA=apache")
@pytest.mark.timeout(240)
async def test_a_kafka_that_restarts_with_all_it_held_is_gone_on_with(
    view_url: str, clickhouse: ClickHouse, between: Between, tmp_path: Path
) -> None:
    with ApacheKafka(tmp_path / "kafka") as kafka:
        async with FilledInstallation(tmp_path, kafka.bootstrap, view_url, clickhouse, persons=PERSONS) as installation:
            filling = asyncio.create_task(installation.fill_in(between.url))
            reached = await installation.until_noted(lambda status: 2 <= status.part < status.parts)
            kafka.process.kill()
            await asyncio.to_thread(kafka.process.start)
            resumed = await installation.until_noted(lambda status: status.part > reached.part)
            assert resumed.restores == reached.restores
            await filling
            assert "another topic" not in (tmp_path / "membership.log").read_text()
            await installation.check_members()


async def test_a_broker_that_lost_all_it_held_in_the_midst_of_a_backfill_ends_in_a_whole_one(
    clickhouse: ClickHouse, between: Between, view_url: str, tmp_path: Path
) -> None:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        async with FilledInstallation(
            tmp_path, broker.bootstrap, view_url, clickhouse, persons=PERSONS
        ) as installation:
            filling = asyncio.create_task(installation.fill_in(between.url))
            await installation.until_noted(lambda status: 2 <= status.part < status.parts)
            installation.clock.set(installation.clock.now_ms() + SECOND)
            broker.process.kill()
            broker.process.start()
            await installation.begin_anew()
            await until_whole(installation, filling, installation.clock.now_ms())
            log = (tmp_path / "membership.log").read_text()
            assert "is another topic than before; answers are warming" in log
            await installation.check_members()


async def test_a_redis_that_lost_all_it_held_in_the_midst_of_a_backfill_ends_in_a_whole_one(
    fresh_broker: str, clickhouse: ClickHouse, between: Between, tmp_path: Path
) -> None:
    with EmbeddedView(tmp_path / "view") as view:
        async with FilledInstallation(tmp_path, fresh_broker, view.url, clickhouse, persons=PERSONS) as installation:
            filling = asyncio.create_task(installation.fill_in(between.url))
            await installation.until_noted(lambda status: 2 <= status.part < status.parts)
            installation.clock.set(installation.clock.now_ms() + SECOND)
            with redis.Redis.from_url(view.url) as client:
                client.flushall()
            await until_whole(installation, filling, installation.clock.now_ms())
            await installation.check_members()


async def until_whole(installation: FilledInstallation, filling: asyncio.Task[Any], lost_ms: int) -> None:
    """As control does: look again until no shard lacks anything, all of which began anew at that instant."""
    began: set[int] = set()
    whole: set[int] = set()

    async def watch() -> None:
        while len(whole) < SHARDS:
            positions = await installation.reader.positions(range(SHARDS))
            began.update(shard for shard, position in positions.items() if position.warm_from_ms == lost_ms)
            whole.update(shard for shard in began if shard in positions and not positions[shard].warm_from_ms)
            await asyncio.sleep(0.01)

    async with asyncio.timeout(DEADLINE_S):
        watching = asyncio.create_task(watch())
        await filling
        while not watching.done():
            installation.revive()
            await installation.fill_in()
            await asyncio.sleep(0.05)
        await watching

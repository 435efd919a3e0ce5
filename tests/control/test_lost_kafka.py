"""Kafka lost all that it held while every role ran: nobody has to do anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cohort_store.kafka.registry_topic import START_DEADLINE_S
from cohort_store.kafka.topics import muster_topics
from cohort_store.subjects import Subject
from processors.embedded.broker import EmbeddedBroker
from processors.kafka.inspection import look
from tests.membership.processes import PARTITIONS, SECOND, Installation
from tests.oracle.membership import members_at

pytestmark = pytest.mark.slow

DEADLINE_S = 2 * START_DEADLINE_S
ROLES = ("control", "router", "membership")


async def test_a_kafka_that_lost_all_it_held_comes_back_by_itself(view_url: str, tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "broker") as broker:
        installation = Installation(tmp_path, broker.bootstrap, view_url)
        own = {"control_port": 0, "data_dir": str(tmp_path / "data")}
        installation.settings = installation.settings.model_copy(update=own)
        async with installation:
            for role in ROLES:
                installation.start(role, role)
            await installation.happen("ada", "buy")
            await installation.settle()
            assert await members(installation, "ada") == {"recent", "quiet"}

            broker.process.kill()
            broker.process.start()
            await until_topics_are_back(installation)
            await installation.happen("bob", "buy")
            await installation.settle()
            assert await members(installation, "bob") == {"recent", "quiet"}

            installation.clock.set(installation.clock.now_ms() + 20 * SECOND)
            await installation.settle()
            now_ms = installation.clock.now_ms()
            for person in ("ada", "bob"):
                expected = members_at(installation.definitions, installation.events[person], now_ms)
                assert await members(installation, person) == {key for key, holds in expected.items() if holds}


async def until_topics_are_back(installation: Installation) -> None:
    """With the partitions that they have to have, and what is started again running."""
    wanted = {spec.name: spec.partitions for spec in muster_topics(PARTITIONS)}
    async with asyncio.timeout(DEADLINE_S):
        while True:
            seen = (await look(installation.settings.kafka)).topics
            if {name: topic.partitions for name, topic in seen.items() if name in wanted} == wanted:
                return
            installation.revive()
            await asyncio.sleep(0.1)


async def members(installation: Installation, person: str) -> set[str]:
    """The cohorts that the person is in."""
    (found,) = await installation.reader.memberships([Subject(1, 0, person)])
    active = {cohort.key: cohort.versions[-1] for cohort in installation.registry.team(1).cohorts}
    return {key for key, each in active.items() if (each.handle in found.handles) is not each.complemented}

"""Membership on a Redis Cluster whose masters die with writes that no replica has."""

import asyncio
import os
import signal
import time
from pathlib import Path
from random import Random

import pytest
import redis

from tests.membership.processes import SECOND, Installation, Life
from tests.services.redis_servers import RedisCluster

FAILOVERS = 20 if os.environ.get("MUSTER_TEST_PROFILE") == "long" else 3


def _lose_the_last_writes(cluster: RedisCluster, random: Random) -> None:
    """Kill a master whose replica has been cut off for a second or two, and let the replica take over."""
    member = random.choice([member for member in cluster.members() if member.is_master])
    port = cluster.replica_of(member.port)
    replica = cluster.nodes[port].process
    os.kill(replica.pid, signal.SIGSTOP)
    with redis.Redis(port=member.port) as master:
        master.execute_command("CLIENT", "KILL", "TYPE", "replica")
    time.sleep(random.uniform(0.5, 2.0))  # the others write meanwhile, which is what gets lost
    cluster.nodes[member.port].kill()
    os.kill(replica.pid, signal.SIGCONT)
    cluster.wait_promoted(port)
    cluster.restart(member.port)


@pytest.mark.fault
@pytest.mark.timeout(300 * FAILOVERS)
async def test_after_failovers_that_lost_writes_membership_and_the_change_stream_equal_the_oracle(
    fresh_broker: str, redis_cluster: RedisCluster, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    async with Installation(tmp_path, fresh_broker, redis_cluster.url, is_cluster=True) as installation:
        for name, role in (("router", "router"), ("membership-a", "membership"), ("membership-b", "membership")):
            installation.start(name, role)
        await installation.happen("person-000", "buy")
        await installation.settle()
        life = Life(installation, random)
        living = asyncio.create_task(life.live())
        for _ in range(FAILOVERS):
            await asyncio.to_thread(_lose_the_last_writes, redis_cluster, Random(random.random()))
            installation.revive()
            assert not living.done()
        life.is_over = True
        await living
        for by_ms in (0, 13 * SECOND, 60 * SECOND):
            installation.clock.set(installation.clock.now_ms() + by_ms)
            await installation.settle()
            await installation.check()

"""Debian's redis-server as child processes: a single one, and a cluster of three masters and three replicas."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.cluster import ClusterNode
from redis.cluster import RedisCluster as ClusterClient

from processors.embedded.child import LOOPBACK, PORT_RANGE, ChildProcess, ChildSpec, choose_port, exchange, reserve_port

MASTERS = 3
REPLICAS_PER_MASTER = 1
BUS_PORT_DISTANCE = 10_000
NODE_TIMEOUT_MS = 1_000
CLUSTER_DEADLINE_S = 60.0
_POLL_S = 0.05


def missing() -> str:
    """Why redis-server cannot be started here, empty if it can."""
    absent = [name for name in ("redis-server", "redis-cli") if shutil.which(name) is None]
    return f"no {' and no '.join(absent)} on PATH" if absent else ""


class RedisServer:
    """One redis-server on loopback with an append-only file in ``folder``; a restart keeps port and data."""

    def __init__(self, folder: Path, port: int | None = None, *options: str) -> None:
        self.port = choose_port(port)
        folder.mkdir(parents=True, exist_ok=True)
        settings = ["--bind", LOOPBACK, "--port", str(self.port), "--dir", str(folder), "--save", ""]
        durable = ["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--loglevel", "warning"]
        self.process = ChildProcess(
            ChildSpec(
                name=f"redis-server {self.port}",
                command=["redis-server", *settings, *durable, *options],
                log=folder / "redis.log",
                ready=lambda: exchange(self.port, b"PING\r\n").startswith(b"+PONG"),
            )
        )

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()


@dataclass(frozen=True, slots=True)
class Member:
    """A node as the cluster sees it now."""

    port: int
    node_id: str
    is_master: bool
    master_id: str
    failed: bool


class RedisCluster:
    """Three masters, three replicas, and the ways to lose one of them. Nodes are named by their ports."""

    def __init__(self, folder: Path) -> None:
        self.nodes = {server.port: server for server in _servers(folder)}

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.nodes.values()]

    @property
    def url(self) -> str:
        """One node's address; a cluster client finds the others from it."""
        return self.urls[0]

    def start(self) -> None:
        for server in self.nodes.values():
            server.process.launch()
        for server in self.nodes.values():
            server.process.wait_ready()
        addresses = [f"{LOOPBACK}:{port}" for port in self.nodes]
        options = ["--cluster-replicas", str(REPLICAS_PER_MASTER), "--cluster-yes"]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *addresses, *options],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CLUSTER_DEADLINE_S,
        )
        self.wait_healthy()

    def stop(self) -> None:
        for server in self.nodes.values():
            server.stop()

    def client(self) -> ClusterClient:
        return ClusterClient(startup_nodes=[ClusterNode(LOOPBACK, port) for port in self._alive()])

    def flush(self) -> None:
        """Empty every master."""
        for member in self.members():
            if member.is_master and not member.failed:
                self._ask(member.port, "FLUSHALL", "SYNC")

    def members(self) -> list[Member]:
        """The nodes in the view of the first live one."""
        lines = str(self._ask(self._alive()[0], "CLUSTER NODES", decode=True)).splitlines()
        return [_member(line) for line in lines]

    def master_of(self, key: str) -> int:
        """The port of the node that owns the key's slot."""
        client = self.client()
        try:
            return int(client.get_node_from_key(key).port)
        finally:
            client.close()

    def replica_of(self, port: int) -> int:
        """The port of a master's live replica; LookupError where the node is no master, or has none."""
        members = self.members()
        ids = [member.node_id for member in members if member.port == port and member.is_master]
        for member in members:
            if member.master_id in ids and not member.failed:
                return member.port
        raise LookupError(f"node {port} is no master with a live replica: {members}")

    def kill_master(self, port: int) -> int:
        """Kill a master with SIGKILL; the port of the replica that the cluster then made master in its place."""
        replica = self.replica_of(port)
        self.nodes[port].kill()
        self.wait_promoted(replica)
        return replica

    def wait_promoted(self, replica: int) -> None:
        """Return when that replica of a killed master is the master in its place."""
        self._wait(lambda: self._is_master(replica) and self._covers_all_slots(), "take over from a killed master")

    def force_failover(self, port: int) -> int:
        """Let a replica take over without asking its live master; its port. Writes not yet copied are lost."""
        replica = self.replica_of(port)
        self._ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        self._wait(lambda: self._is_master(replica) and not self._is_master(port), "take over from a live master")
        return replica

    def restart(self, port: int) -> None:
        """Start a killed node again, which then follows the node that took over from it."""
        self.nodes[port].start()
        self.wait_healthy()

    def revive(self) -> None:
        """Start every killed node again: all of them first, since none is healthy while another one is dead."""
        for server in self.nodes.values():
            if server.process.returncode is not None:
                server.start()
        self.wait_healthy()

    def wait_healthy(self) -> None:
        """Return when every node runs, sees all slots covered, and each master has a replica in step."""
        self._wait(self._is_healthy, "become healthy")

    def _is_healthy(self) -> bool:
        if len(self._alive()) < len(self.nodes) or not all(self._sees_ok(port) for port in self.nodes):
            return False
        members = self.members()
        if any(member.failed for member in members):
            return False
        masters = [member for member in members if member.is_master]
        return len(masters) == MASTERS and all(self._replicas_in_step(master.port) for master in masters)

    def _replicas_in_step(self, port: int) -> bool:
        info = self._ask(port, "INFO", "replication", decode=True)
        return isinstance(info, dict) and info.get("connected_slaves") == REPLICAS_PER_MASTER

    def _sees_ok(self, port: int) -> bool:
        return "cluster_state:ok" in str(self._ask(port, "CLUSTER INFO", decode=True))

    def _covers_all_slots(self) -> bool:
        return all(self._sees_ok(port) for port in self._alive())

    def _is_master(self, port: int) -> bool:
        return any(member.port == port and member.is_master for member in self.members())

    def _alive(self) -> list[int]:
        return [port for port, server in self.nodes.items() if server.process.returncode is None]

    def _ask(self, port: int, *command: str, decode: bool = False) -> object:
        with redis.Redis(host=LOOPBACK, port=port, decode_responses=decode) as client:
            client.response_callbacks.pop("CLUSTER NODES", None)
            client.response_callbacks.pop("CLUSTER INFO", None)
            return client.execute_command(*command)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + CLUSTER_DEADLINE_S
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except redis.RedisError:
                pass  # a node in the middle of a failover refuses questions
            time.sleep(_POLL_S)
        raise TimeoutError(f"the cluster did not {what} within {CLUSTER_DEADLINE_S:g} s: {self.members()}")


def _servers(folder: Path) -> Iterator[RedisServer]:
    found = 0
    while found < MASTERS * (1 + REPLICAS_PER_MASTER):
        port = choose_port(None)
        bus = port + BUS_PORT_DISTANCE
        # Also while a killed node is away, when nothing but the range keeps a client's connection off its bus port.
        if bus in PORT_RANGE and reserve_port(bus):
            found += 1
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
            yield RedisServer(folder / str(port), port, *options, "--repl-diskless-sync-delay", "0")


def _member(line: str) -> Member:
    node_id, address, flags, master_id = line.split(" ")[:4]
    port = int(address.partition("@")[0].rpartition(":")[2])
    names = flags.split(",")
    return Member(port, node_id, "master" in names, master_id, "fail" in names or "fail?" in names)

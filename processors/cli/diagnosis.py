"""What is wrong with an installation: every part that is configured is tried, and each finding has a remedy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

from cohort_store.clickhouse.client import connect, translated
from cohort_store.clocks import clock_from
from cohort_store.durations import UNITS_MS, format_duration
from cohort_store.errors import MusterError
from cohort_store.kafka.topics import muster_topics
from cohort_store.ports import Position
from cohort_store.redis.store import Memory
from cohort_store.redis.wiring import connect_mirror, connect_reader, connect_store
from cohort_store.registry import Registry, decode_registry
from cohort_store.settings import Settings
from processors.cli.web import get, url_of
from processors.kafka.inspection import ClusterSeen, look

CHECK_S_MAX = 15.0
REPLICAS_WANTED = 3
"""Of a topic: two brokers may then be lost before what was acknowledged is."""
POLL_S = 0.25
MEMORY_SHARE_MAX = 0.9
"""Of a server's maxmemory: beyond, it is time to do something."""
LAG_MS_MAX = 60_000
"""A shard further behind than this is worth a look."""


class Verdict(StrEnum):
    """How a part is."""

    WELL = "ok"
    NOTE = "note"
    """Works, but somebody may have meant it otherwise."""
    WRONG = "wrong"


class Finding(NamedTuple):
    """One part, what was found, and what to do where that is wrong."""

    part: str
    verdict: Verdict
    detail: str
    remedy: str = ""


Check = Callable[[Settings], Awaitable[list[Finding]]]


def examine(settings: Settings) -> list[Finding]:
    """Try every part, all at the same time; findings in the order of the flow."""
    return asyncio.run(_examine(settings))


def examine_until_well(settings: Settings, deadline_s: float) -> list[Finding]:
    """Try again until nothing is wrong; what is still wrong after so long."""
    until = time.monotonic() + deadline_s
    while True:
        wrong = [finding for finding in examine(settings) if finding.verdict is Verdict.WRONG]
        if not wrong or time.monotonic() > until:
            return wrong
        time.sleep(POLL_S)


async def _examine(settings: Settings) -> list[Finding]:
    checks: dict[str, Check] = {
        "kafka": _kafka,
        "redis": _redis,
        "clickhouse": _clickhouse,
        "registry": _registry,
        "control": _control,
        "evaluator": _evaluator,
    }
    found = await asyncio.gather(*(_guarded(part, check, settings) for part, check in checks.items()))
    return [finding for findings in found for finding in findings]


async def _guarded(
    part: str, check: Callable[[Settings], Awaitable[list[Finding]]], settings: Settings
) -> list[Finding]:
    try:
        async with asyncio.timeout(CHECK_S_MAX):
            return await check(settings)
    except MusterError as error:
        return [Finding(part, Verdict.WRONG, str(error), _REMEDIES[part])]
    except (OSError, TimeoutError, ValueError) as error:
        return [Finding(part, Verdict.WRONG, str(error) or f"no answer within {CHECK_S_MAX:g} s", _REMEDIES[part])]


_REMEDIES = {
    "kafka": "start the broker, or set MUSTER_KAFKA to its address",
    "redis": "start Redis or Valkey, or set MUSTER_REDIS to its URL; it must run with maxmemory-policy noeviction",
    "clickhouse": "start ClickHouse, or set MUSTER_CLICKHOUSE to its URL; empty means that there is none",
    "registry": "see redis",
    "control": "start it: muster control; its port is the setting MUSTER_CONTROL_PORT",
    "evaluator": "start it: muster evaluator; its port is the setting MUSTER_EVALUATOR_PORT",
}


async def _kafka(settings: Settings) -> list[Finding]:
    seen = await look(settings.kafka)
    return [Finding("kafka", Verdict.WELL, f"a broker answers at {settings.kafka}"), *topic_findings(settings, seen)]


def topic_findings(settings: Settings, seen: ClusterSeen) -> list[Finding]:
    """What is to be said of the topics that a broker has; that all is well, where nothing is wrong."""
    wrong = _missing_or_mismatched(settings, seen)
    well = Finding("topics", Verdict.WELL, f"all are there, {settings.partitions} partitions")
    return [*(wrong or [well]), *_too_few_replicas(settings, seen)]


def _missing_or_mismatched(settings: Settings, seen: ClusterSeen) -> list[Finding]:
    findings = []
    missing = [spec.name for spec in muster_topics(settings.partitions) if spec.name not in seen.topics]
    missing += [topic for topic in settings.sources if topic not in seen.topics and topic not in missing]
    if missing:
        remedy = "start any role: it creates Muster's own topics; a source of yours must exist (setting MUSTER_SOURCES)"
        findings.append(Finding("topics", Verdict.WRONG, f"missing: {', '.join(missing)}", remedy))
    for spec in muster_topics(settings.partitions):
        topic = seen.topics.get(spec.name)
        if topic is not None and topic.partitions != spec.partitions:
            count = topic.partitions
            detail = f"{spec.name} has {count} partitions, and {spec.partitions} are configured"
            findings.append(Finding("topics", Verdict.WRONG, detail, f"set MUSTER_PARTITIONS to what it has: {count}"))
    return findings


def _too_few_replicas(settings: Settings, seen: ClusterSeen) -> list[Finding]:
    """What one broker's loss would take away. A single broker, as a developer's, cannot do better."""
    wanted = min(REPLICAS_WANTED, seen.brokers)
    found = ((spec.name, seen.topics.get(spec.name)) for spec in muster_topics(settings.partitions))
    few = [f"{name} has {topic.replicas}" for name, topic in found if topic is not None and topic.replicas < wanted]
    if not few:
        return []
    detail = f"{', '.join(few)}, and {seen.brokers} brokers could keep {wanted} replicas of each"
    remedy = (
        "give them more with kafka-reassign-partitions; the setting MUSTER_TOPIC_REPLICATION, or the broker's "
        "default.replication.factor, counts for topics that Muster creates from now on"
    )
    return [Finding("replicas", Verdict.NOTE, detail, remedy)]


async def _redis(settings: Settings) -> list[Finding]:
    store = connect_store(settings)
    try:
        await store.check()
        memory = await store.memory()
    finally:
        await store.aclose()
    well = Finding("redis", Verdict.WELL, f"{_shown(settings.redis)} answers, and evicts nothing")
    return [well, *memory_findings(memory)]


def memory_findings(memory: Mapping[str, Memory]) -> list[Finding]:
    """Servers that are full, or soon will be."""
    findings = []
    for address, (used, most) in memory.items():
        if most and used >= most:
            detail = f"{address} is full: it uses {used:,} of {most:,} bytes and takes no writes; the roll stands still"
            remedy = "raise its maxmemory: membership then goes on by itself, and nothing is lost"
            findings.append(Finding("redis", Verdict.WRONG, detail, remedy))
        elif most and used >= MEMORY_SHARE_MAX * most:
            detail = f"{address} uses {used:,} of {most:,} bytes; at the last one nobody enters or leaves any more"
            findings.append(Finding("redis", Verdict.NOTE, detail, "raise its maxmemory, or drop cohorts"))
    return findings


async def _clickhouse(settings: Settings) -> list[Finding]:
    if not settings.clickhouse:
        detail = "none is configured: no history, and no table of changes"
        return [Finding("clickhouse", Verdict.NOTE, detail, "set MUSTER_CLICKHOUSE to its URL to have one")]
    client = await connect(settings.clickhouse)
    try:
        with translated():
            version = await client.command("SELECT version()")
    finally:
        await client.close()
    return [Finding("clickhouse", Verdict.WELL, f"{_shown(settings.clickhouse)} answers, version {version}")]


async def _registry(settings: Settings) -> list[Finding]:
    mirror, reader = connect_mirror(settings), connect_reader(settings)
    try:
        raw = await mirror.fetch()
        registry = Registry() if raw is None else decode_registry(raw)
        positions = await reader.positions(range(settings.shards))
    finally:
        await mirror.aclose()
        await reader.aclose()
    return [_defined(registry), *_shards(settings, registry, positions)]


def _defined(registry: Registry) -> Finding:
    cohorts = sum(len(team.cohorts) for team in registry.teams.values())
    flags = sum(len(team.flags) for team in registry.teams.values())
    if not cohorts + flags:
        return Finding("registry", Verdict.NOTE, "nothing is defined yet", "muster apply FILE...")
    return Finding("registry", Verdict.WELL, f"version {registry.version}: {cohorts} cohorts and {flags} flags")


def _shards(settings: Settings, registry: Registry, positions: Mapping[int, Position]) -> list[Finding]:
    total = settings.shards
    if registry.shards not in (0, total):
        detail = f"the installation has {registry.shards}, and {total} are configured"
        return [Finding("shards", Verdict.WRONG, detail, f"set MUSTER_SHARDS to what it has: {registry.shards}")]
    if len(positions) < total:
        detail = f"{total - len(positions)} of {total} were never owned"
        return [Finding("shards", Verdict.WRONG, detail, "start an owner: muster membership")]
    lag_ms = max(0, clock_from(settings.clock).now_ms() - min(position.now_ms for position in positions.values()))
    behind = sum(position.ready < registry.cohorts_version for position in positions.values())
    timeless = sum(not position.now_ms for position in positions.values())
    stale = sum(position.stale for position in positions.values())
    troubles = []
    if behind:
        remedy = "wait a second; if it stays so, see the log of muster membership"
        troubles.append((f"{behind} of {total} have not folded version {registry.cohorts_version}", remedy))
    if timeless:
        troubles.append((f"{timeless} of {total} have not heard of any source yet", "start a router: muster router"))
    elif lag_ms > LAG_MS_MAX:
        age = format_duration(lag_ms // UNITS_MS["s"] * UNITS_MS["s"])
        troubles.append(
            (f"the last one is {age} behind the clock", "is muster router running, and the broker reachable?")
        )
    if stale:
        remedy = "is muster router running? A topic that is gone for good leaves with the setting MUSTER_SOURCES"
        troubles.append((f"{stale} of {total} answer without a source partition that gives no sign of life", remedy))
    well = Finding("shards", Verdict.WELL, f"all {total} are owned, and at most {lag_ms / 1000:.1f} s behind")
    return [Finding("shards", Verdict.WRONG, *trouble) for trouble in troubles] or [well]


async def _control(settings: Settings) -> list[Finding]:
    if not settings.control_port:
        return [Finding("control", Verdict.NOTE, "has no web views", "set MUSTER_CONTROL_PORT to a port to have them")]
    url = url_of(settings.control_host, settings.control_port, "/status/")
    status, body = await asyncio.to_thread(get, url)
    if status != HTTPStatus.OK:
        return [Finding("control", Verdict.WRONG, f"answers {url} with {status}: {body[:300]}", "see its log")]
    return [Finding("control", Verdict.WELL, f"answers at {url}")]


async def _evaluator(settings: Settings) -> list[Finding]:
    if not settings.evaluator_port:
        detail = "listens on a port that the system chooses, so that it cannot be asked here"
        return [Finding("evaluator", Verdict.NOTE, detail, "set MUSTER_EVALUATOR_PORT to a port")]
    certificate = settings.tls_certificate
    url = url_of(settings.evaluator_host, settings.evaluator_port, "/ready", secure=bool(certificate))
    status, body = await asyncio.to_thread(get, url, certificate)
    if status != HTTPStatus.OK:
        return [Finding("evaluator", Verdict.WRONG, f"answers that it is not ready: {body[:300]}", "see its log")]
    return [Finding("evaluator", Verdict.WELL, f"ready at {url.removesuffix('/ready')}")]


def _shown(url: str) -> str:
    """The URL without what stands before the @: it may be a password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"

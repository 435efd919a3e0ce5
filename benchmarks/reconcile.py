"""Reconciling: everybody in 20 cohorts compared with ClickHouse, over ClickHouse's bare GROUP BY of the same events."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.backfill import FILL, FLOOR, PARTITIONS
from benchmarks.parts import Bench, embedded
from benchmarks.processes import OTHER_CORE, SERVER_CORE, Role, pin
from cohort_store.clickhouse.client import connect
from cohort_store.redis.wiring import connect_mirror
from cohort_store.registry import Registry, decode_registry
from processors.clickhouse.events import CREATE_SQL
from processors.embedded.history import EmbeddedHistory
from processors.reconcile.judged import judged_of, merged
from processors.reconcile.ports import Agreement
from processors.reconcile.reconciling import reconcile
from processors.reconcile.wiring import opened_parts

DEADLINE_S = 300.0
COHORTS: list[dict[str, Any]] = [
    {
        "key": f"c{number}",
        "when": {
            "kind": "count",
            "event": ("purchase", "page view")[number % 2],
            "op": ("gte", "lt")[number // 2 % 2],
            "n": 1 + number % 7,
            "within": f"{10 + number}d",
        },
    }
    for number in range(20)
]


class Result(NamedTuple):
    """What one run came to."""

    events: int
    persons: int
    floor_s: float
    seconds: float
    cpu_s: float
    """Of the process that compares."""
    agreements: list[Agreement]


async def measure(events: int = 5_000_000, persons: int = 100_000) -> Result:
    """Fill the table, let control fill the cohorts in, then compare everybody."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-history-") as name:
        history = EmbeddedHistory(Path(name))
        with history:
            pin(history.process.pid, OTHER_CORE)
            url = f"http://{history.host}:{history.port}"
            chosen = {"clickhouse": url, "partitions": PARTITIONS, "control_port": 0, "reconcile_hours": 0}
            with embedded({**chosen, "data_dir": f"{name}/control"}) as bench:
                return await _measured(bench, events, persons)


async def _measured(bench: Bench, events: int, persons: int) -> Result:
    settings = bench.settings
    client = await connect(settings.clickhouse, 600)
    await client.command(CREATE_SQL)
    await client.command(FILL, {"persons": persons, "events": events})
    began = time.perf_counter()
    await client.query(FLOOR, settings={"max_threads": settings.backfill_threads})
    floor_s = time.perf_counter() - began
    await client.close()
    roles = [
        Role(["-m", "processors.cli", role], bench.environment, SERVER_CORE, bench.folder / f"{role}.log")
        for role in ("control", "membership", "router")
    ]
    try:
        registry = await _defined(bench)
        judged, others = judged_of(registry, 1, (), {}, knows_persons=True)
        if others:
            raise RuntimeError(f"not judged: {others}")
        found: list[Agreement] = []
        async with opened_parts(settings, registry) as parts:
            began, began_cpu = time.perf_counter(), time.process_time()
            async for turn in reconcile(parts, registry, judged, range(settings.shards), repairing=False):
                found += turn.agreements
            seconds, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    finally:
        for role in roles:
            role.stop()
    return Result(events, persons, floor_s, seconds, cpu_s, merged(found))


async def _defined(bench: Bench) -> Registry:
    """The registry, once every cohort has its history."""
    file = bench.folder / "cohorts.json"
    file.write_text(json.dumps({"cohorts": COHORTS}))
    command = [sys.executable, "-m", "processors.cli", "apply", str(file)]
    applied = await asyncio.to_thread(
        subprocess.run, command, check=False, capture_output=True, text=True, env={**os.environ, **bench.environment}
    )
    if applied.returncode:
        raise RuntimeError(applied.stderr)
    mirror = connect_mirror(bench.settings)
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                registry = decode_registry(await mirror.fetch() or b"{}")
                versions = [version for cohort in registry.team(1).cohorts for version in cohort.versions]
                if len(versions) == len(COHORTS) and all(version.backfilled for version in versions):
                    return registry
                await asyncio.sleep(0.2)
    finally:
        await mirror.aclose()


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    compared = sum(each.persons for each in found.agreements)
    drift = sum(len(each.drifted) for each in found.agreements)
    print(
        f"reconcile, {len(found.agreements)} cohorts of {found.persons:,} persons, {found.events:,} events; "
        "ClickHouse (chDB), broker Tansu and view Valkey on one core"
    )
    print(
        f"  whole                {found.seconds:>8.2f} s   {compared / found.seconds:>9,.0f} answers/s   "
        f"{1e6 * found.cpu_s / compared:.1f} CPU µs each"
    )
    print(f"  over a bare GROUP BY {found.seconds / found.floor_s:>8.1f}   ({found.floor_s:.2f} s); drift {drift}")


if __name__ == "__main__":
    chooser = argparse.ArgumentParser(description=__doc__)
    chooser.add_argument("--events", type=int, default=5_000_000)
    chooser.add_argument("--persons", type=int, default=100_000)
    chosen = chooser.parse_args()
    report(asyncio.run(measure(chosen.events, chosen.persons)))

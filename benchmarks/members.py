"""`muster members` on a million events: both engines, beside chDB alone answering the same as SQL.

Each command runs whole, in a process of its own, reading JSONL. What chDB alone does is as plain as can be: the file
into a table, then one statement over it. All three must name the same members.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cohort_store.definitions import parse_cohort
from processors.clickhouse.translation.sources import EVENTS_SQL, events_of
from processors.clickhouse.translation.statements import memberships
from processors.embedded.chdb_memory import Memory

EVENTS, PERSONS = 1_000_000, 50_000
END_MS = 1_760_000_000_000
SPAN_MS = 90 * 86_400_000
NAMES = ("purchase", "search", "login", "signup", "upgrade", "$pageview", "$autocapture", "scroll", "share", "export")
ENGINES = ("timelines", "clickhouse")
ALONE = "--alone"

COHORTS: tuple[dict[str, Any], ...] = (
    {"key": "buyers", "when": {"kind": "count", "event": "purchase", "n": 2, "within": "30d"}},
    {
        "key": "dear",
        "when": {
            "kind": "performed",
            "event": "purchase",
            "where": [{"property": "price", "op": "gt", "value": 900}],
            "within": "14d",
        },
    },
    {"key": "quiet", "when": {"kind": "stopped", "event": "search", "within": "60d", "recent": "21d"}},
    {"key": "weekly", "when": {"kind": "regularly", "event": "login", "period": "7d", "periods": 6, "min_periods": 3}},
    {"key": "idle", "when": {"not": {"kind": "performed", "event": "any", "within": "7d"}}},
)


class Result(NamedTuple):
    """Seconds by who answered, and how many members there are in all."""

    seconds: dict[str, float]
    members: int


def measure(events: int = EVENTS) -> Result:
    """Write the log, and ask all three. RuntimeError where they differ."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as name:
        folder = Path(name)
        log, definitions = folder / "events.jsonl", folder / "cohorts.json"
        _write(log, events)
        definitions.write_text(json.dumps({"cohorts": COHORTS}))
        command = ["-m", "processors.cli", "members", "--definitions", str(definitions), "--events", str(log)]
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(END_MS / 1000))
        seconds, answers = {}, {}
        for engine in ENGINES:
            arguments = [*command, "--engine", engine, "--now", now, "--strict", "--json"]
            seconds[engine], answers[engine] = _run(arguments)
        seconds[ALONE], answers[ALONE] = _run(["-m", "benchmarks.members", ALONE, str(log)])
    if not answers[ENGINES[0]] == answers[ENGINES[1]] == answers[ALONE]:
        raise RuntimeError("the engines name different members: the figures do not count")
    return Result(seconds, sum(map(len, answers[ALONE].values())))


def _write(path: Path, events: int) -> None:
    """The same events at every run, in the order of time."""
    rng = np.random.default_rng(7)
    times = np.sort(rng.integers(END_MS - SPAN_MS, END_MS, events)).tolist()
    persons = (rng.random(events) ** 2 * PERSONS).astype(np.int64).tolist()
    names = rng.integers(0, len(NAMES), events).tolist()
    prices = rng.integers(1, 1_000, events).tolist()
    with path.open("w") as file:
        for number, (time_ms, person, name, price) in enumerate(zip(times, persons, names, prices, strict=True)):
            line = '{"uuid":"%s","event":"%s","person_id":"p%d","timestamp":%d,"properties":{"price":%d,"lib":"web"}}\n'
            file.write(line % (uuid.UUID(int=number), NAMES[name], person, time_ms, price))


def _run(arguments: list[str]) -> tuple[float, dict[str, list[str]]]:
    began = time.perf_counter()
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=os.environ)
    seconds = time.perf_counter() - began
    if ran.returncode:
        raise RuntimeError(f"{arguments} ended with {ran.returncode}: {ran.stderr}")
    return seconds, json.loads(ran.stdout)


def alone(log: Path) -> dict[str, list[str]]:
    """Members by chDB and nothing else."""
    columns = "person_id String, event String, uuid String, timestamp Int64, properties String"
    trees = {cohort["key"]: parse_cohort(dict(cohort)).when for cohort in COHORTS}
    with Memory() as memory:
        memory.command(EVENTS_SQL.format(table="log"))
        read = "SELECT person_id, event, uuid, timestamp AS time_ms, properties"
        memory.command(f"INSERT INTO log {read} FROM file('{log}', JSONEachRow, '{columns}')")
        rows = memory.query(memberships(trees, events_of("log")), {"now": END_MS})
    members: dict[str, list[str]] = {key: [] for key in trees}
    for key, person in rows:
        members[key].append(person)
    return {key: sorted(found) for key, found in sorted(members.items())}


def report(found: Result, events: int = EVENTS) -> None:
    """The figures, as they are quoted."""
    print(
        f"muster members, {events:,} events of {PERSONS:,} persons, {len(COHORTS)} cohorts, {found.members:,} members"
    )
    for engine in ENGINES:
        over = found.seconds[engine] / found.seconds[ALONE]
        print(f"  --engine {engine:<10} {found.seconds[engine]:6.1f} s  {over:5.1f} times chDB alone")
    print(f"  chDB alone          {found.seconds[ALONE]:6.1f} s")


if __name__ == "__main__":
    if sys.argv[1:2] == [ALONE]:
        print(json.dumps(alone(Path(sys.argv[2]))))
    else:
        report(measure())

"""The same on the real broker, store and ClickHouse engine, with real processes that are killed with SIGKILL."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis

from tests.agreement.definitions import NAMES, PLANS, Plain, drawn_cohorts, edited
from tests.cli.test_up import END_S_MAX, Up, start
from tests.cli.test_up import pytestmark as of_up
from tests.oracle.membership import Event, is_member

pytestmark = [*of_up, pytest.mark.long]

RUNS = 10
ROUNDS, PERSONS = 8, 12
AGES_DAYS = (0.3, 3.2, 9.4, 17.1, 40.6, 70.3)
"""Hours from where any drawn window ends: so no answer depends on how long the run takes."""
DAY_MS = 86_400_000
ROLES = (b"router", b"membership", b"control", b"archive")
SETTLED_S_MAX = 90.0
AT_ONCE = "from processors.up import supervisor; supervisor.BACKOFF_MAX_S = 0.2"


class Story:
    """One run: what was sent, what was defined, and what was done to the processes. The seed decides all of it."""

    def __init__(self, up: Up, seed: int) -> None:
        self.up, self.random = up, Random(seed)
        self.now_ms = time.time_ns() // 1_000_000
        self.known: dict[str, list[Event]] = {f"person-{number}": [] for number in range(PERSONS)}
        self.sent: list[Plain] = []
        self.cohorts: list[Plain] = []

    def run(self) -> None:
        self.send([self.event() for _ in range(60)])
        self.apply(drawn_cohorts(self.random))
        for number in range(ROUNDS):
            self.send([self.event() for _ in range(self.random.randint(0, 20))])
            if self.random.random() < 0.5:
                self.send(self.random.sample(self.sent, 10))
            if self.random.random() < 0.4:
                self.apply(edited(self.random, self.cohorts))
            for role in ROLES:
                if self.random.random() < 0.3:
                    self.kill(role)
            if number == ROUNDS // 2 and self.random.random() < 0.5:
                redis.Redis.from_url(self.up.addresses["view"]).flushall()
            time.sleep(self.random.uniform(0, 1))

    def event(self) -> Plain:
        random, person = self.random, self.random.choice(list(self.known))
        properties: Plain = {"size": random.randint(0, 4)} if random.random() < 0.7 else {}
        if random.random() < 0.1:
            properties["$set"] = {"plan": random.choice(PLANS)}
        time_ms = self.now_ms - int(random.choice(AGES_DAYS) * DAY_MS) - random.randint(0, 600_000)
        uuid = f"{len(self.sent):08x}-0000-4000-8000-{random.randrange(10**12):012}"
        event = Event(uuid, random.choice(NAMES), time_ms, properties)
        self.known[person].append(event)
        return {"event": event.event, "timestamp": time_ms, "uuid": uuid, "properties": properties, "person_id": person}

    def send(self, events: list[Plain]) -> None:
        self.sent += events
        file = self.up.folder / "events.jsonl"
        file.write_text("".join(json.dumps(each) + "\n" for each in events))
        if events:
            assert self.up.answer("send", str(file))["sent"] == len(events)

    def apply(self, cohorts: list[Plain]) -> None:
        """The drawn seconds as days."""
        self.cohorts = cohorts
        file = self.up.folder / "cohorts.json"
        file.write_text(json.dumps({"cohorts": self.in_days()}))
        done = self.up.muster("apply", "--prune", str(file))
        assert done.returncode == 0, done.stderr

    def in_days(self) -> list[Plain]:
        found: list[Plain] = json.loads(re.sub(r'"(\d+)s"', r'"\1d"', json.dumps(self.cohorts)))
        return found

    def kill(self, role: bytes) -> None:
        for pid in self.up.tree():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if role in command:
                os.kill(pid, signal.SIGKILL)

    def differs(self) -> list[str]:
        """Whose membership is not the oracle's, or what is not done yet; empty where all is as it has to be."""
        try:
            status = self.up.answer("status")
        except AssertionError as error:
            return [str(error)]
        states = {each["key"]: each["state"] for each in status["cohorts"]}
        if status["backfill"] is not None or states.keys() != {each["key"] for each in self.cohorts}:
            return [f"{states}, {status['backfill']}"]
        if not set(states.values()) <= {"ready", "warming"}:
            return [str(states)]
        return [wrong for each in self.in_days() for wrong in self._differs_in(each)]

    def _differs_in(self, cohort: Plain) -> Iterator[str]:
        now_ms = time.time_ns() // 1_000_000
        found: dict[str, Any] = self.up.answer("who", cohort["key"])
        others = [each for each in self.in_days() if each is not cohort]
        for person, events in self.known.items():
            expected = is_member(cohort, events, now_ms, others)
            if (person in found["ids"]) is not (expected is not found["complemented"]):
                yield f"{person} in {cohort['key']}: oracle {expected}"


@contextmanager
def running(folder: Path) -> Iterator[Up]:
    up = start(folder, AT_ONCE, MUSTER_SHARDS="8", MUSTER_BACKFILL_PART_PERSONS="3")
    try:
        yield up
    finally:
        up.process.terminate()
        up.process.wait(END_S_MAX)


@pytest.mark.parametrize("number", range(RUNS))
def test_killed_processes_and_a_lost_store_leave_not_one_wrong_member(number: int, seed: int, tmp_path: Path) -> None:
    story_seed = seed * 1_000 + number
    print(f"seed of this run: {story_seed}")  # noqa: T201
    with running(tmp_path) as up:
        story = Story(up, story_seed)
        story.run()
        deadline = time.monotonic() + SETTLED_S_MAX
        while wrong := story.differs():
            assert time.monotonic() < deadline, "\n".join(wrong)
            time.sleep(0.2)
        done = up.muster("reconcile", "--json")
        assert done.returncode == 0, done.stdout + done.stderr

"""The ingest workload: product events in PostHog's shape, and an independent account of who should be a member.

2,000,000 events of about 800 bytes over 14 days, 8 partitions not keyed by person, 100,000 persons with a skew, 15 %
of the events wanted. The account is kept with numpy from the drawn arrays and shares no code with Muster.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

DAY_MS = 86_400_000
SPAN_MS = 14 * DAY_MS
WINDOW_MS = 7 * DAY_MS
TIMES_MIN = 3
END_MS = 1_760_000_000_000
WANTED = "purchase"
OTHERS = ("$pageview", "$autocapture", "search", "add_to_cart", "login", "$feature_flag_called", "scroll")
BODY_BYTES = 800


@dataclass(frozen=True)
class Workload:
    """Arrays with one element an event, sorted by time."""

    times_ms: Any
    persons: Any
    wanted: Any
    partitions: Any
    person_ids: list[str]

    @classmethod
    def draw(cls, events: int, persons: int, partitions: int, seed: int) -> Workload:
        """The same arguments draw the same workload."""
        rng = np.random.default_rng(seed)
        times = np.sort(rng.integers(END_MS - SPAN_MS, END_MS, events))
        skewed = (rng.random(events) ** 2 * persons).astype(np.int64)
        ids = [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(persons)]
        return cls(times, skewed, rng.random(events) < 0.15, rng.integers(0, partitions, events), ids)

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """(partition, record timestamp in ms, body), in the order of time."""
        head = _head()
        columns = zip(
            self.times_ms.tolist(), self.persons.tolist(), self.wanted.tolist(), self.partitions.tolist(), strict=True
        )
        for number, (time_ms, person, wanted, partition) in enumerate(columns):
            name = WANTED if wanted else OTHERS[number % len(OTHERS)]
            seconds, millis = divmod(time_ms, 1_000)
            stamp = f"{np.datetime64(seconds, 's')}".replace("T", " ")
            body = head % (number, name, stamp, millis, self.person_ids[person], self.person_ids[person])
            yield partition, time_ms, body.encode()

    def account(self) -> Account:
        """Who is a member at the end, and how often anybody entered and left, to the millisecond."""
        order = np.lexsort((self.times_ms[self.wanted], self.persons[self.wanted]))
        persons = self.persons[self.wanted][order]
        times = self.times_ms[self.wanted][order]
        entries = exits = 0
        members: set[str] = set()
        starts = np.flatnonzero(np.r_[True, persons[1:] != persons[:-1]])
        for start, stop in zip(starts, np.r_[starts[1:], len(persons)], strict=True):
            stays = _stays(times[start:stop])
            entries += len(stays)
            exits += sum(1 for _, until in stays if until <= END_MS)
            if stays and stays[-1][1] > END_MS:
                members.add(self.person_ids[persons[start]])
        return Account(members, entries, exits)


@dataclass(frozen=True)
class Account:
    """What must come out."""

    members: set[str]
    entries: int
    exits: int


def _stays(times: Any) -> list[tuple[int, int]]:
    """The stays [from, until) of one person: while the third latest purchase is younger than the window."""
    stays: list[tuple[int, int]] = []
    for first, last in zip(times[: 1 - TIMES_MIN], times[TIMES_MIN - 1 :], strict=True):
        if first + WINDOW_MS <= last:
            continue
        if stays and stays[-1][1] >= last:
            stays[-1] = (stays[-1][0], int(first) + WINDOW_MS)
        else:
            stays.append((int(last), int(first) + WINDOW_MS))
    return stays


def _head() -> str:
    """A %-template of a message of `clickhouse_events_json`: number, name, stamp, millis, distinct id, person id."""
    properties = {"$lib": "web", "$browser": "Firefox", "$os": "Linux", "$current_url": "https://shop.example/p/42"}
    event = {
        "uuid": "00000000-0000-4000-8000-%012x",
        "event": "%s",
        "properties": json.dumps({**properties, "padding": ""}),
        "timestamp": "%s.%03d000",
        "team_id": 1,
        "distinct_id": "d-%s",
        "elements_chain": "",
        "created_at": "2026-01-01 00:00:00.000000",
        "person_id": "%s",
        "person_created_at": "2026-01-01 00:00:00",
        "person_mode": "full",
    }
    text = json.dumps(event)
    padding = "x" * (BODY_BYTES - len(text) - 80)
    return text.replace('padding\\": \\"', 'padding\\": \\"' + padding)

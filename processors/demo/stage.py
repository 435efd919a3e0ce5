"""What runs during the demo: an installation on a folder of its own, its clock in our hand."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cohort_store.clocks import FileClock
from cohort_store.errors import Retry
from cohort_store.freshness import Status
from cohort_store.kafka import clients
from cohort_store.kafka.topics import EVENTS
from cohort_store.ports import PAGE_MAX
from cohort_store.redis.reader import RedisMembershipReader
from cohort_store.registry import Registry
from processors.demo.asking import Asked, read_answer
from processors.demo.log import LoggedEvent
from processors.embedded.child import exchange
from processors.up.column import PartPorts
from processors.up.installation import Installation

READY_DEADLINE_S = 60.0
ANSWER_DEADLINE_S = 30.0
POLL_S = 0.02
HTTP_S_MAX = 10.0
PART_PERSONS = 150
"""Of whom history is reduced at a time: few, so that there is something to see."""
_READY_POLL_S = 0.1
_FLUSHALL = b"*1\r\n$8\r\nFLUSHALL\r\n"


class Standing(NamedTuple):
    """What the evaluator says of all cohorts."""

    registry_version: int
    statuses: dict[str, Status]
    """The worst one of any shard, by cohort."""

    @property
    def lacking(self) -> list[str]:
        """Each cohort that is not OK, and what it is."""
        return [f"{key} {status}" for key, status in self.statuses.items() if status is not Status.OK]


class Stage:
    """The installation and its clock. `tell` hears of roles that ended and were started again."""

    def __init__(self, folder: Path, start_ms: int, tell: Callable[[str], None]) -> None:
        self.clock = FileClock(folder / "clock")
        self.clock.set(start_ms)
        # No slack: a shard's now is then the instant through which its input was read, and never the bare clock;
        # so a shard whose now has reached an instant has folded everything that was sent before the clock did.
        chosen = {"clock": f"file:{folder / 'clock'}", "clock_slack_ms": 0, "mark_interval_ms": 50, "shards": 32}
        # Few partitions: each of them carries every mark.
        chosen |= {"partitions": 4, "backfill_part_persons": PART_PERSONS}
        self.installation = Installation(folder, PartPorts(), chosen, tell)

    def start(self) -> None:
        """Start everything. Raises EmbeddedError, or Retry where a role does not answer in time."""
        self.installation.start()
        deadline = time.monotonic() + READY_DEADLINE_S
        while not self.installation.answers():
            if time.monotonic() > deadline:
                raise Retry(
                    f"not every role answered within {READY_DEADLINE_S:g} s; see {self.installation.folder / 'logs'}"
                )
            time.sleep(_READY_POLL_S)
            self.installation.tend()

    def stop(self) -> None:
        self.installation.stop()

    def flush(self) -> None:
        """Have Redis lose everything."""
        port = urlsplit(self.installation.settings.redis).port or 0
        answer = exchange(port, _FLUSHALL, HTTP_S_MAX)
        if not answer.startswith(b"+OK"):
            raise Retry(f"Redis at port {port} answered FLUSHALL with {answer!r}; see {self.installation.folder}")

    async def ask(self, flag: str, person: str) -> Asked:
        """What the evaluator answers over HTTP about one person."""
        body = {"token": self.token, "distinct_id": person, "flag_keys_to_evaluate": [flag]}
        return read_answer(await asyncio.to_thread(self._http, "/flags?v=2&muster=1", body), flag, person)

    async def standing(self) -> Standing:
        """What it says of all cohorts."""
        told = await asyncio.to_thread(self._http, "/cohorts", None)
        return Standing(told["registry_version"], {each["key"]: Status(each["status"]) for each in told["cohorts"]})

    @property
    def token(self) -> str:
        """The project's public token."""
        return next(iter(self.installation.settings.tokens))

    @property
    def evaluator_url(self) -> str:
        """Where the evaluator answers."""
        settings = self.installation.settings
        return f"http://{settings.evaluator_host}:{settings.evaluator_port}"

    def _http(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - an address of our own
            f"{self.evaluator_url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {self.installation.secret_key}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=HTTP_S_MAX) as response:  # noqa: S310 - an address of our own
                answer: dict[str, Any] = json.load(response)
        except OSError as error:
            raise Retry(f"the evaluator does not answer {path.partition('?')[0]}: {error}") from error
        return answer


class EventSource:
    """Produces the log's events, in order, as the demo's time goes on; not the first `history`, which are past."""

    def __init__(self, bootstrap: str, events: Sequence[LoggedEvent], history: int) -> None:
        self._producer = clients.producer(bootstrap)
        self._events = events
        self._history = history
        self.sent = history
        """How many events have happened: those of the history, and those in Kafka."""

    @property
    def produced(self) -> int:
        """How many are in Kafka."""
        return self.sent - self._history

    async def __aenter__(self) -> EventSource:
        await self._producer.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._producer.stop()

    async def send_until(self, count: int, clock_ms: int) -> None:
        """Have the first `count` events in Kafka, those that are new with the record timestamp `clock_ms`."""
        fresh = self._events[self.sent : count]
        waiting = [
            await self._producer.send(EVENTS, event.raw, key=event.person.encode(), timestamp_ms=clock_ms)
            for event in fresh
        ]
        await asyncio.gather(*waiting)
        self.sent = max(self.sent, count)


class RollReader:
    """Muster's answers: read from where the evaluator reads them."""

    def __init__(self, reader: RedisMembershipReader, registry: Registry, shards: int) -> None:
        self._reader = reader
        self._shards = range(shards)
        versions = {cohort.key: cohort.active for cohort in registry.team(1).cohorts}
        self._active = {key: version for key, version in versions.items() if version is not None}

    @property
    def cohorts(self) -> list[str]:
        return list(self._active)

    @property
    def complemented(self) -> frozenset[str]:
        """The cohorts that are kept by their exceptions."""
        return frozenset(key for key, version in self._active.items() if version.complemented)

    async def sizes(self) -> dict[str, int]:
        """How many are stored in each cohort; of a complemented one these are the exceptions."""
        stored = await self._reader.sizes([version.handle for version in self._active.values()])
        return dict(zip(self._active, stored, strict=True))

    async def members(self, cohort: str, known: frozenset[str]) -> frozenset[str]:
        """The members among the persons known so far."""
        found: set[str] = set()
        cursor: str | None = None
        while True:
            page = await self._reader.members(self._active[cohort].handle, cursor, PAGE_MAX)
            found.update(page.ids)
            cursor = page.cursor
            if cursor is None:
                break
        return known - found if self._active[cohort].complemented else frozenset(found)

    async def reached(self, instant_ms: int) -> bool:
        """Whether every shard has folded its input up to the instant and run the timers due until then."""
        positions = await self._reader.positions(self._shards)
        return len(positions) == len(self._shards) and all(each.now_ms >= instant_ms for each in positions.values())


async def eventually(
    what: str, holds: Callable[[], Awaitable[bool]], *, deadline_s: float = ANSWER_DEADLINE_S, poll_s: float = POLL_S
) -> float:
    """Ask again and again until it holds; the seconds that it took. Raises Retry after the deadline."""
    started_s = time.monotonic()
    while not await holds():
        if time.monotonic() - started_s > deadline_s:
            raise Retry(f"{what}: not so within {deadline_s:g} s")
        await asyncio.sleep(poll_s)
    return time.monotonic() - started_s

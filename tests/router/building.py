"""Registries, events and routers for the router's tests."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cohort_store.clocks import SteppedClock
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.kafka.registry import RememberedPlans
from cohort_store.plans import compile_plan
from cohort_store.registry import Registry
from cohort_store.selectors import Selector
from processors.codecs.event import Limits
from processors.codecs.plain import PlainCodec
from processors.kafka.dead_letters import RememberedDeadLetters
from processors.router.memory import MemoryLog, MemoryPersons, MemorySink, MemorySource
from processors.router.progress import Source
from processors.router.routes import RouterPlan, compile_routes
from processors.router.worker import Router, RouterConfig, RouterParts

NOW_MS = 1_750_000_000_000
TOPIC = "muster.events"
FIRST = Source(TOPIC, 0)
SECOND = Source(TOPIC, 1)
CONFIG = RouterConfig(shards=16, partitions=4, mark_interval_ms=0, event_bytes_max=1_048_576)


def registry(*conditions: Mapping[str, Any], before: Registry | None = None, team: int = 1) -> Registry:
    """A registry of one cohort for each condition; `within` is an hour where the condition does not say."""
    cohorts = [
        parse_cohort({"key": f"c{index}", "team": team, "when": {"kind": "performed", "within": "1h", **condition}})
        for index, condition in enumerate(conditions)
    ]
    return assign(before or Registry(), cohorts, {}, applied="", now=0)


def routes(*conditions: Mapping[str, Any], team: int = 1) -> RouterPlan:
    return compile_routes(compile_plan(registry(*conditions, team=team)))


def handles(of: Registry, team: int = 1) -> dict[str, int]:
    """The handle of each selector, by the first event name in it."""
    selectors: dict[int, Selector] = compile_plan(of).team(team).selectors
    return {str(selector.alternatives[0].event): handle for handle, selector in selectors.items()}


def event(name: str = "buy", **changes: Any) -> bytes:
    fields = {"event": name, "person_id": "ann", "timestamp": NOW_MS, "uuid": "018f3b2a-7c1d-7e4a-9b0c-1d2e3f4a5b6c"}
    return json.dumps({key: value for key, value in (fields | changes).items() if value is not ...}).encode()


@dataclass
class Bench:
    """A router on memory, with everything around it in reach."""

    router: Router
    log: MemoryLog
    source: MemorySource
    sink: MemorySink
    letters: RememberedDeadLetters
    plans: RememberedPlans
    persons: MemoryPersons
    clock: SteppedClock


def bench(defined: Registry | None = None, *, log: MemoryLog | None = None, limit: int = 1_000) -> Bench:
    """A router that owns both partitions of the log."""
    clock, log = SteppedClock(NOW_MS), log or MemoryLog()
    source, sink, letters = MemorySource(log, clock, limit=limit), MemorySink(), RememberedDeadLetters()
    plans, persons = RememberedPlans(compile_plan(defined or registry({"event": "buy"}))), MemoryPersons()
    source.move([FIRST, SECOND])
    parts = RouterParts(source, sink, letters, plans, persons, {TOPIC: PlainCodec(Limits())}, clock)
    return Bench(Router(parts, CONFIG), log, source, sink, letters, plans, persons, clock)

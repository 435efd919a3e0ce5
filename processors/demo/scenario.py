"""What the demo does, in order: its chapters, and an instant and an act for each moment of the live one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, StrEnum, auto
from typing import Any, NamedTuple

from cohort_store.conditions.static_list import REFILLED_WITHIN_MS
from processors.demo.log import EventLog


class Chapter(StrEnum):
    """What the demo shows, one after the other. After each of them, and all through the live one, sets are compared."""

    HISTORY = "history"
    """Five months are in ClickHouse alone, and cohorts that are applied then are filled in."""
    LIVE = "live"
    """The sixth month comes through Kafka."""
    EDIT = "edit"
    """A cohort is edited while a flag asks it."""
    LOSS = "after FLUSHALL"
    """Redis loses everything."""


HISTORY_UNTIL = "2024-06-01T00:00:00Z"
"""In the log as it is shipped: what happened before is history when the demo begins."""

INSTANTS = 24
STEPS_BETWEEN = 3
"""So that what is seen moves."""

HERO = "user_0254"
HERO_FLAG = "offer-help"
HERO_COHORT = "payment-trouble"
_FIRST_ERROR, _SECOND_ERROR, _DAY_LATER = "2024-06-06T21:44:36Z", "2024-06-06T22:23:15Z", "2024-06-07T21:44:36Z"

EDITED_COHORT = "regulars"
EDITED_WITHIN = "120d"
"""In place of 90d: a part of its history that no condition keeps so far."""
EDITED_FLAG = "loyalty-banner"
"""It asks the edited cohort, and another one that refers to it: both change over at once."""

ARRIVAL_MS = 1_000
"""So long after it happened the second error reaches the log."""


class Act(Enum):
    """What happens at a moment, once the clock is there and everything up to it was sent."""

    STEP = auto()
    """Nothing more."""
    COMPARE = auto()
    """Muster and ClickHouse are compared."""
    FLAG_BEFORE = auto()
    """The hero's flag is off, before her second error."""
    FLAG_ON = auto()
    """It turns on by her second error."""
    FLAG_STILL_ON = auto()
    """It is on until a day has gone by since her first error."""
    FLAG_OFF = auto()
    """Then it is off, though she did nothing more."""


class Moment(NamedTuple):
    """One of them."""

    at_ms: int
    act: Act


def history_of(log: EventLog) -> int:
    """How many events are history."""
    return log.until(log.moved(HISTORY_UNTIL))


def begins_ms(log: EventLog) -> int:
    """When the demo begins: the time of the last event that is history."""
    return log.events[history_of(log) - 1].time_ms


def first_ms(log: EventLog) -> int:
    """When the first comparison is: a minute later, since until then a list is WARMING, whatever its history."""
    return begins_ms(log) + REFILLED_WITHIN_MS


def edited(definitions: Any) -> Any:
    """The value of a definitions file, after the edit."""

    def changed(cohort: Any) -> Any:
        if cohort["key"] != EDITED_COHORT:
            return cohort
        said = f"Three purchases in {EDITED_WITHIN.removesuffix('d')} days."
        return {**cohort, "description": said, "when": {**cohort["when"], "within": EDITED_WITHIN}}

    return {**definitions, "cohorts": [changed(cohort) for cohort in definitions["cohorts"]]}


def moments(log: EventLog) -> Iterator[Moment]:
    """All moments of the live chapter by time; the last one is the comparison at the log's end."""
    planned = [Moment(log.moved(_FIRST_ERROR), Act.STEP)]
    planned.append(Moment(log.moved(_SECOND_ERROR) - 1, Act.FLAG_BEFORE))
    planned.append(Moment(log.moved(_SECOND_ERROR) + ARRIVAL_MS, Act.FLAG_ON))
    planned.append(Moment(log.moved(_DAY_LATER) - 1, Act.FLAG_STILL_ON))
    planned.append(Moment(log.moved(_DAY_LATER), Act.FLAG_OFF))
    before = first_ms(log)
    for instant in log.instants(INSTANTS, before):
        planned += (
            Moment(before + (instant - before) * step // STEPS_BETWEEN, Act.STEP) for step in range(1, STEPS_BETWEEN)
        )
        planned.append(Moment(instant, Act.COMPARE))
        before = instant
    yield from sorted(planned, key=lambda moment: moment.at_ms)

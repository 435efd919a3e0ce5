"""What the demo does, in order: an instant and an act for each moment. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from processors.demo.log import EventLog

INSTANTS = 24
STEPS_BETWEEN = 6
"""So that what is seen moves."""

HERO = "user_0443"
HERO_FLAG = "offer-help"
HERO_COHORT = "payment-trouble"
_FIRST_ERROR, _SECOND_ERROR, _DAY_LATER = "2024-05-20T18:17:56Z", "2024-05-20T18:52:40Z", "2024-05-21T18:17:56Z"


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


def moments(log: EventLog) -> Iterator[Moment]:
    """All moments by time; the last one is the comparison at the log's end."""
    planned = [Moment(log.moved(_FIRST_ERROR), Act.STEP)]
    planned.append(Moment(log.moved(_SECOND_ERROR) - 1, Act.FLAG_BEFORE))
    planned.append(Moment(log.moved(_SECOND_ERROR) + ARRIVAL_MS, Act.FLAG_ON))
    planned.append(Moment(log.moved(_DAY_LATER) - 1, Act.FLAG_STILL_ON))
    planned.append(Moment(log.moved(_DAY_LATER), Act.FLAG_OFF))
    before = log.first_ms
    for instant in log.instants(INSTANTS):
        planned += (
            Moment(before + (instant - before) * step // STEPS_BETWEEN, Act.STEP) for step in range(1, STEPS_BETWEEN)
        )
        planned.append(Moment(instant, Act.COMPARE))
        before = instant
    yield from sorted(planned, key=lambda moment: moment.at_ms)

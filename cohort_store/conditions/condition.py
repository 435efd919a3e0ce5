"""What every kind of condition offers, and the parts that their definitions share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from pydantic import AfterValidator, Field, model_validator

from cohort_store.durations import WINDOW_MS_MAX, format_duration, parse_duration_ms, parse_instant_ms
from cohort_store.interval import Interval
from cohort_store.properties import PropertyTest
from cohort_store.records import Register
from cohort_store.schema import Model
from cohort_store.selectors import Alternative, Selector
from cohort_store.timelines import Timelines

ANY_EVENT = "any"
ALTERNATIVES_MAX = 50
TESTS_MAX = 20
EVENT_NAME_MAX = 200

_EVENT_HELP = "The event's name, or `any` for every event."


class Condition(Protocol):
    """A temporal predicate over timelines. Pure: the same timelines and instant give the same answer.

    `now` is milliseconds since 1970. `timelines` has one timeline for each of `selectors`, in that order.
    """

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The selectors that the condition reads."""
        ...

    @property
    def entries_max(self) -> int:
        """The most entries at or before now that `keep` ever keeps of one timeline."""
        ...

    @property
    def warm_up_ms(self) -> int | None:
        """How long a live stream must run until nothing before it can matter; None where no time says so."""
        ...

    def holds(self, timelines: Timelines, now: int) -> bool:
        """Whether the condition is true at `now`; entries later than `now` are not looked at."""
        ...

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        """The earliest later instant at which `holds` can differ with no new event. May be early, never late."""
        ...

    def forget_at(self, timelines: Timelines, now: int) -> int | None:
        """When `keep` becomes empty with no new event, so that nothing need be stored; always later than `now`.

        None where it never does, or is empty already. Asked only where `next_change` is None.
        """
        ...

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        """A subset that answers `holds` as the whole does, from `now` on, whatever entries are still to come."""
        ...


class OverInterval:
    """Shared part of conditions that look at one interval, and at nothing before it."""

    __slots__ = ()

    interval: Interval

    @property
    def warm_up_ms(self) -> int | None:
        """See Condition: the window, where it rolls."""
        return self.interval.window_ms

    @property
    def since_ms(self) -> int | None:
        """The first instant at which an event can matter; None where the interval rolls."""
        return self.interval.first_ms


class KeepsLatest:
    """Shared part of conditions that keep the latest `entries_max` entries in their interval, and those to come."""

    __slots__ = ()

    selector: Selector
    interval: Interval

    @property
    def entries_max(self) -> int:
        """See Condition."""
        raise NotImplementedError

    def suffices_for(self, other: AnyCondition) -> bool:
        """See Sufficing: the latest few of a shorter interval are among the latest of a longer one."""
        return (
            isinstance(other, KeepsLatest)
            and self.selector == other.selector
            and self.interval.covers(other.interval)
            and self.entries_max >= other.entries_max
        )


@runtime_checkable
class Sufficing(Protocol):
    """What a condition offers beside, where what it keeps answers some others too: then these need no history."""

    def suffices_for(self, other: AnyCondition) -> bool:
        """Whether what this one keeps, at any instant, answers the other as the whole would, from that instant on."""
        ...


@runtime_checkable
class Sharing(Protocol):
    """What a condition offers beside, where others over the same timeline may keep the very entries that it keeps."""

    @property
    def shares(self) -> str | None:
        """All of one name together keep no more of a timeline than the one that keeps most. None: it shares nothing."""
        ...


@runtime_checkable
class RegisterCondition(Protocol):
    """A predicate over one register of the person's record, and over no timeline. Pure, and `now` as for a Condition.

    A register is there (`present`), with the version that won, or was never written (None). It is kept as it is as
    long as a condition names it, the JSON text `null` included.
    """

    @property
    def register(self) -> str:
        """The register's name."""
        ...

    @property
    def bytes_max(self) -> int:
        """The most bytes that the register takes in a record."""
        ...

    @property
    def warm_up_ms(self) -> int | None:
        """As a Condition's."""
        ...

    def holds(self, present: Register | None, now: int) -> bool:
        """Whether the condition is true at `now`."""
        ...

    def next_change(self, present: Register | None, now: int) -> int | None:
        """The earliest later instant at which `holds` can differ with no new write. May be early, never late."""
        ...


AnyCondition: TypeAlias = Condition | RegisterCondition


@runtime_checkable
class Capped(Condition, Protocol):
    """A condition for which no bound of what must be kept is known beforehand: `keep` cuts at a cap.

    Where it did, the record remembers up to which instant entries of that selector may have been lost. Until that
    instant has left the interval, what is left decides only so much (folding.py).
    """

    @property
    def interval(self) -> Interval:
        """An entry matters no more once it is out of this."""
        ...

    def cut(self, timelines: Timelines, now: int) -> tuple[int | None, ...]:
        """For each timeline the time of the latest entry that `keep` drops only because of the cap, if there is one."""
        ...

    def holds_despite_loss(self, timelines: Timelines, now: int) -> bool | None:
        """`holds`, whatever entries of the interval may have been lost; None where that depends on them.

        `next_change` is never late for this either.
        """
        ...


class ConditionDefinition(Model):
    """What people write for one kind of condition. Each kind narrows `kind` to its own literal."""

    is_written: ClassVar[bool] = True
    """Whether people write it; else it is only made of something else that they write."""

    kind: str

    def compile(self) -> AnyCondition:
        """The condition that this definition means."""
        raise NotImplementedError

    @classmethod
    def kind_name(cls) -> str:
        """The literal by which a definition of this kind is known; empty for shared parts."""
        default = cls.model_fields["kind"].default
        return default if isinstance(default, str) else ""

    @classmethod
    def kinds(cls) -> Iterator[type[ConditionDefinition]]:
        """Every imported class below this one that has a `kind` of its own."""
        for child in cls.__subclasses__():
            if child.kind_name():
                yield child
            yield from child.kinds()


def _named(event: str) -> str | None:
    return None if event == ANY_EVENT else event


def _of_fixed_dates(test: PropertyTest) -> PropertyTest:
    if test.is_relative():
        raise ValueError(
            f"{test.value!r} on an event's property has no fixed meaning, since an event is matched once, when it "
            "comes; write a fixed date, or ask a property of the person"
        )
    return test


EventTest = Annotated[PropertyTest, AfterValidator(_of_fixed_dates)]
"""A test on an event's property: whether it passes does not depend on the instant of the question."""


class EventFilter(Model):
    """One alternative of an `any_of`: an event name, or `any`, with property tests that must all pass."""

    event: str = Field(min_length=1, max_length=EVENT_NAME_MAX, description=_EVENT_HELP)
    where: tuple[EventTest, ...] = Field(default=(), max_length=TESTS_MAX, description="Tests that must all pass.")

    def alternative(self) -> Alternative:
        return Alternative(_named(self.event), self.where)


class Selection(Model):
    """Which events. Either `event` with an optional `where`, or `any_of`."""

    event: str | None = Field(default=None, min_length=1, max_length=EVENT_NAME_MAX, description=_EVENT_HELP)
    where: tuple[EventTest, ...] = Field(default=(), max_length=TESTS_MAX, description="Tests that must all pass.")
    any_of: tuple[EventFilter, ...] = Field(
        default=(), max_length=ALTERNATIVES_MAX, description="Several alternatives; one that matches is enough."
    )

    @model_validator(mode="after")
    def _one_way_to_select(self) -> Selection:
        if (self.event is None) == (not self.any_of):
            raise ValueError("name the events either with `event` (and `where`) or with `any_of`, one of the two")
        if self.any_of and self.where:
            raise ValueError("`where` beside `any_of` has no event to belong to; put it inside each alternative")
        return self

    def selector(self) -> Selector:
        """The selector that these fields mean."""
        if self.event is None:
            return Selector(tuple(each.alternative() for each in self.any_of))
        return Selector((Alternative(_named(self.event), self.where),))


class EventSelection(Selection, ConditionDefinition):
    """Shared part of the kinds that look at one selection of events."""


class Windowed(ConditionDefinition):
    """Shared part: when. Either a rolling window `within`, or `since` with an optional `until`."""

    within: str | None = Field(default=None, description="A rolling window: 90d, 24h, 1w2d; at most 730d.")
    since: str | None = Field(default=None, description="An absolute lower bound, ISO 8601; UTC where it has no zone.")
    until: str | None = Field(default=None, description="An absolute upper bound, inclusive; only beside `since`.")

    @model_validator(mode="after")
    def _one_kind_of_interval(self) -> Windowed:
        self.interval()
        return self

    def interval(self) -> Interval:
        """The interval that these fields mean; ValueError, with the remedy, where they mean none."""
        if self.within is not None:
            if self.since is not None or self.until is not None:
                raise ValueError("`within` rolls and `since`/`until` stand still; give one of the two")
            return Interval.rolling(window_ms_of(self.within))
        if self.since is None:
            raise ValueError("say when: a rolling window `within: 7d`, or `since: 2026-01-12T12:00:00Z`")
        since_ms = parse_instant_ms(self.since)
        until_ms = None if self.until is None else parse_instant_ms(self.until)
        if until_ms is not None and until_ms < since_ms:
            raise ValueError(f"until {self.until} lies before since {self.since}; exchange them")
        return Interval.absolute(since_ms, until_ms)


def window_ms_of(text: str) -> int:
    """Milliseconds of a window's length; ValueError, with limit and remedy, beyond 1 ms to 730 days."""
    window_ms = parse_duration_ms(text)
    if not 0 < window_ms <= WINDOW_MS_MAX:
        limit = format_duration(WINDOW_MS_MAX)
        raise ValueError(f"a window of {text[:40]} is out of bounds; it must be longer than 0 and at most {limit}")
    return window_ms


def as_schema(model: type[Model]) -> dict[str, Any]:
    """The JSON Schema of a model, by the names that people write."""
    return model.model_json_schema(by_alias=True)

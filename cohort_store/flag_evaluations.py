"""How flags were answered, counted: what `muster.flag-evaluations` carries and ClickHouse keeps.

An evaluator adds up what it answered and sends the sums about once a minute, one message a series: a team, flag,
value and reason. A message has the name of its evaluator and the number of its sending; both with the series are its
identity, so that one that is delivered again, or written again, counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

ON, OFF = "true", "false"
"""The value of a flag that has no variant."""


class FlagEvaluations(msgspec.Struct, frozen=True):
    """So often was a flag answered so, for that reason, by one evaluator between two instants (ms since 1970)."""

    team_id: int
    flag: str
    value: str
    """The variant's key, or `true`, or `false`."""
    reason: str
    """The reason's code."""
    count: int
    from_ms: int
    """Counted from here on."""
    last_called_ms: int
    """When it was answered so last, to the second."""
    evaluator: str
    """Random, one a process."""
    sequence: int
    """Of the sending; rises with each one of the evaluator."""


def encode_evaluations(evaluations: FlagEvaluations) -> bytes:
    """The sums as JSON."""
    return msgspec.json.encode(evaluations)


def decode_evaluations(raw: bytes) -> FlagEvaluations:
    """The inverse of `encode_evaluations`; msgspec.ValidationError for anything else."""
    return msgspec.json.decode(raw, type=FlagEvaluations)


class Calls(NamedTuple):
    """How often a flag had one value for one reason, since the instant that was asked about."""

    flag: str
    value: str
    reason: str
    total: int
    first_ms: int
    last_ms: int


class CallRecord(NamedTuple):
    """What is known of a team's calls."""

    counted_from_ms: int | None
    """When any evaluator began to count, of any team; None where nothing was ever counted."""
    last_called_ms: dict[str, int]
    """Each flag's last call, however long ago; flags that were never called are not in it."""
    calls: tuple[Calls, ...]
    """Since the instant that was asked about, in the order of flag, value and reason."""


class EvaluationBook(Protocol):
    """Where evaluations are kept. Raises Retry where it cannot be asked, or it is not known that all are written."""

    async def insert(self, rows: Sequence[FlagEvaluations]) -> None:
        """Keep them; twice is as good as once."""
        ...

    async def calls(self, team: int, since_ms: int) -> CallRecord:
        """What is known of a team's calls, those last called at or after an instant added up."""
        ...


class RememberedEvaluations:
    """The in-memory twin."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], FlagEvaluations] = {}

    async def insert(self, rows: Sequence[FlagEvaluations]) -> None:
        """Keep them; twice is as good as once."""
        self._rows |= {(r.team_id, r.flag, r.value, r.reason, r.evaluator, r.sequence): r for r in rows}

    async def calls(self, team: int, since_ms: int) -> CallRecord:
        """What is known of a team's calls, those last called at or after an instant added up."""
        of_team = [row for row in self._rows.values() if row.team_id == team]
        last: dict[str, int] = {}
        for row in of_team:
            last[row.flag] = max(last.get(row.flag, row.last_called_ms), row.last_called_ms)
        recent = [row for row in of_team if row.last_called_ms >= since_ms]
        series = sorted({(row.flag, row.value, row.reason) for row in recent})
        return CallRecord(
            counted_from_ms=min((row.from_ms for row in self._rows.values()), default=None),
            last_called_ms=last,
            calls=tuple(_summed(each, recent) for each in series),
        )


def _summed(series: tuple[str, str, str], rows: Iterable[FlagEvaluations]) -> Calls:
    found = [row for row in rows if (row.flag, row.value, row.reason) == series]
    return Calls(
        *series,
        total=sum(row.count for row in found),
        first_ms=min(row.from_ms for row in found),
        last_ms=max(row.last_called_ms for row in found),
    )

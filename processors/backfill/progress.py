"""How fast a run is, and how long it still takes, from looks at its status. Pure: the caller gives the instants."""

from __future__ import annotations

from typing import NamedTuple

from processors.backfill.ports import FillingStatus

PLACES = 2**64


class Standing(NamedTuple):
    """How far it is."""

    share: float
    """Of the team's parts, with that of the part under way, as far as it can be told; 0.0 to 1.0."""
    persons: int
    """Seeded so far."""
    persons_per_s: float | None
    """Since the first look at which it was under way; None until there was a second."""
    left_s: float | None
    """As long as it goes on as since then; None where that cannot be told."""


class Progress:
    """What looks at one run come to. Those at which it waits for something count as time that it took."""

    def __init__(self) -> None:
        self._first: tuple[float, float, int] | None = None

    def look(self, status: FillingStatus, elapsed_s: float) -> Standing:
        """The standing after one more look, at `elapsed_s` on a monotonic clock."""
        share, persons = share_of(status), status.persons + status.of_part
        if not status.parts:
            return Standing(share, persons, None, None)
        if self._first is None or share < self._first[1] or persons < self._first[2]:
            # The first, or a process that took over does the part under way once more.
            self._first = (elapsed_s, share, persons)
        began_s, share_then, persons_then = self._first
        took_s = elapsed_s - began_s
        if took_s <= 0:
            return Standing(share, persons, None, None)
        done = share - share_then
        return Standing(
            share, persons, (persons - persons_then) / took_s, took_s * (1 - share) / done if done > 0 else None
        )


def share_of(status: FillingStatus) -> float:
    """The share of the parts that are done.

    A part is taken to have as many persons to be seeded as those before it had; the first, as many as are known. Where
    it is known up to which place it has come, it is at least that far.
    """
    if not status.parts:
        return 0.0
    expected = status.persons / status.part if status.part else status.known / status.parts
    of_part = max(min(1.0, status.of_part / expected) if expected else 0.0, status.begins / PLACES)
    return min(1.0, (status.part + of_part) / status.parts)

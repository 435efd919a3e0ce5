"""What the demo shows, as values: filled by the play, drawn by a display."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from cohort_store.changes import Change
from processors.demo.scenario import Chapter

CHANGES_SHOWN = 8
SIZES_KEPT = 48


class Compared(NamedTuple):
    """One cohort at one instant: Muster's members beside ClickHouse's."""

    muster: frozenset[str]
    clickhouse: frozenset[str]

    @property
    def equal(self) -> bool:
        return self.muster == self.clickhouse


class Comparison(NamedTuple):
    """All cohorts at one instant."""

    at_ms: int
    cohorts: dict[str, Compared]
    chapter: Chapter = Chapter.LIVE

    @property
    def equal(self) -> bool:
        return all(compared.equal for compared in self.cohorts.values())


@dataclass(slots=True)
class Scene:
    """The state of the play."""

    events: int
    complemented: frozenset[str] = frozenset()
    """Cohorts that are kept by their exceptions; their sizes are of those."""
    clock_ms: int = 0
    sent: int = 0
    sizes: dict[str, deque[int]] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=CHANGES_SHOWN))
    changes_seen: int = 0
    story: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    def add_sizes(self, sizes: dict[str, int]) -> None:
        for cohort, size in sizes.items():
            self.sizes.setdefault(cohort, deque(maxlen=SIZES_KEPT)).append(size)

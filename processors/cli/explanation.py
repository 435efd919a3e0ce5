"""An explanation as lines of text: the verdict, then the tree, a line a part, with what decides each condition."""

from __future__ import annotations

from collections.abc import Iterator

from cohort_store.explaining import Deciding, Reason, Why
from cohort_store.wording import flow

TIMES_SHOWN_MAX = 5
_VERDICTS = {True: "yes", False: "no", None: "?"}


def lines_of(why: Why, person: str) -> Iterator[str]:
    """All of it."""
    said = {True: "is in", False: "is not in", None: "may or may not be in"}[why.member]
    turn = f"until {why.changes_at}, if nothing more is done" if why.changes_at else "and no time alone changes that"
    yield f"{person} {said} {why.cohort} (version {why.version}) at {why.now}, {turn}:"
    yield from tree_lines(why.reason)


def tree_lines(reason: Reason, depth: int = 1) -> Iterator[str]:
    """A part of the tree and all below it."""
    words = [reason.kind, *([flow(reason.condition)] if reason.condition else [])]
    named = f"  (cohort {reason.cohort})" if reason.cohort else ""
    until = f"  until {reason.changes_at}" if reason.changes_at else ""
    yield f"{_VERDICTS[reason.holds]:5}{'  ' * depth}{' '.join(words)}{named}{until}"
    if reason.present is not None and reason.condition and "property" in reason.condition:
        yield f"{'':5}{'  ' * (depth + 1)}{reason.condition['property']} is {reason.present}"
    for part in reason.parts:
        yield from tree_lines(part, depth + 1)
    for deciding in reason.decided_by:
        yield f"{'':5}{'  ' * (depth + 1)}{_decided(deciding)}"


def _decided(deciding: Deciding) -> str:
    other = f"; the latest other one {deciding.other}" if deciding.other else ""
    if not deciding.times:
        return f"none decides of {deciding.events}{other}"
    count = len(deciding.times) + deciding.more
    shown = ", ".join(deciding.times[-TIMES_SHOWN_MAX:])
    before = "..., " if count > TIMES_SHOWN_MAX else ""
    return f"{count} x {deciding.events}: {before}{shown}{other}"

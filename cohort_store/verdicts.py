"""All, any and not over three values: true, false, and unknown (None), which a part may be where others decide.

Each joins parts that are asked with the same question, whatever that is, into one that is asked so too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Question = TypeVar("Question")


def every(parts: Sequence[Callable[[Question], bool | None]]) -> Callable[[Question], bool | None]:
    """False where one part is, else unknown where one is, else true. What comes behind a false one is not asked."""

    def verdict(question: Question) -> bool | None:
        holds: bool | None = True
        for part in parts:
            held = part(question)
            if held is False:
                return False
            if held is None:
                holds = None
        return holds

    return verdict


def some(parts: Sequence[Callable[[Question], bool | None]]) -> Callable[[Question], bool | None]:
    """True where one part is, else unknown where one is, else false. What comes behind a true one is not asked."""

    def verdict(question: Question) -> bool | None:
        holds: bool | None = False
        for part in parts:
            held = part(question)
            if held:
                return True
            if held is None:
                holds = None
        return holds

    return verdict


def complement(part: Callable[[Question], bool | None]) -> Callable[[Question], bool | None]:
    """True where the part is false and the other way round; unknown where it is."""

    def verdict(question: Question) -> bool | None:
        held = part(question)
        return None if held is None else not held

    return verdict

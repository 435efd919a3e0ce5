"""Flags that depend on each other: who is meant, in which order they are decided, and what can never be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cohort_store.flags import FlagDefinition

DEPENDENCY_LEVELS_MAX = 50
"""Flags one behind the other; a flag that asks one more is refused."""


@dataclass(frozen=True, slots=True)
class FlagOrder:
    """The flags of one team."""

    keys: tuple[str, ...]
    """All of them: in the order in which they came, but each behind those that it depends on."""
    names: Mapping[str, str]
    """What a flag may be called by others: its key, and its id as text where that is no flag's key; with its key."""
    broken: Mapping[str, str]
    """Flags that cannot be decided, each with the reason: what they depend on is not there, or they go in a circle."""


def order_flags(flags: Iterable[FlagDefinition]) -> FlagOrder:
    """The order of a team's flags; each key is there once."""
    of_key = {flag.key: flag for flag in flags}
    names = {str(flag.id): flag.key for flag in of_key.values() if flag.id} | {key: key for key in of_key}
    walk = _Walk(of_key, names)
    for key in of_key:
        walk.visit(key)
    return FlagOrder(tuple(walk.levels), names, walk.broken)


class _Walk:
    """Depth first, without recursion: a chain may be as long as the list of flags."""

    def __init__(self, flags: Mapping[str, FlagDefinition], names: Mapping[str, str]) -> None:
        self.levels: dict[str, int] = {}
        self.broken: dict[str, str] = {}
        self._names = names
        self._asked = {key: tuple(dict.fromkeys(flag.flags())) for key, flag in flags.items()}

    def visit(self, first: str) -> None:
        path: dict[str, None] = {}
        stack = [first]
        while stack:
            key = stack[-1]
            waiting = None if key in path else self._enter(key, path)
            if waiting:
                stack += waiting
                continue
            stack.pop()
            if key in path:
                del path[key]
                self._leave(key)

    def _enter(self, key: str, path: dict[str, None]) -> list[str]:
        """The flags to be decided before this one; none where it is decided, or is being decided further up."""
        if key in self.levels:
            return []
        path[key] = None
        wanted = [self._names[name] for name in self._asked[key] if name in self._names]
        for each in wanted:
            if each in path:
                members = list(path)
                self._break(key, f"depends on itself: {' -> '.join([*members[members.index(each) :], each])}")
        return [each for each in reversed(wanted) if each not in self.levels and each not in path]

    def _leave(self, key: str) -> None:
        level = 0
        for name in self._asked[key]:
            other = self._names.get(name)
            if other is None:
                self._break(key, f"depends on flag {name!r}, which is not defined")
            elif other in self.broken and other != key:
                self._break(key, f"depends on flag {other!r}, which {self.broken[other]}")
            level = max(level, self.levels.get(other or "", 0) + 1)
        if level > DEPENDENCY_LEVELS_MAX:
            self._break(key, f"has {level} flags one behind the other below it; at most {DEPENDENCY_LEVELS_MAX}")
        self.levels[key] = level

    def _break(self, key: str, why: str) -> None:
        self.broken.setdefault(key, why if len(why) <= 300 else f"{why[:297]}...")

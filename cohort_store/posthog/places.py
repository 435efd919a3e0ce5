"""PostHog's JSON with the place of each part, so that what is refused or left out is named where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from cohort_store.errors import BadDefinition
from cohort_store.findings import shown

NUMBER_MAX = 10**6
"""Beyond it nothing is meant: each number has a lower limit of its own, which the definition's check tells."""


class Note(NamedTuple):
    """What is not carried over, or means something slightly different: where it stands, and what it is."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """One object of PostHog's. `notes` is shared by all places of one translation."""

    raw: Mapping[str, Any]
    path: str
    notes: list[Note]

    def at(self, key: str) -> str:
        """The path of one of its keys."""
        return f"{self.path}.{key}" if self.path else key

    def refuse(self, key: str, problem: str) -> NoReturn:
        raise BadDefinition(self.at(key) if key else self.path, problem)

    def note(self, key: str, text: str) -> None:
        self.notes.append(Note(self.at(key) if key else self.path, text))

    def get(self, key: str) -> Any:
        return self.raw.get(key)

    def has(self, key: str) -> bool:
        """Whether the key is there with something in it."""
        return self.raw.get(key) not in (None, "", [], {})

    def child(self, key: str) -> Place:
        """The object under a key; refused where it is none."""
        return self._object(key, self.raw.get(key))

    def _object(self, key: str, found: Any) -> Place:
        if not isinstance(found, Mapping):
            self.refuse(key, f"{shown(found)} where an object is wanted; write {{...}}")
        return Place(found, self.at(key), self.notes)

    def children(self, key: str) -> list[Place]:
        """The objects of the list under a key, none where there is no list; refused where it is something else."""
        found = self.raw.get(key)
        if found is None:
            return []
        if not isinstance(found, list):
            self.refuse(key, f"{shown(found)} where a list is wanted; write [...]")
        return [self._object(f"{key}[{index}]", each) for index, each in enumerate(found)]

    def positive(self, key: str) -> int:
        """A whole number above 0, which PostHog may write as a text."""
        value = self.raw.get(key)
        text = value.strip() if isinstance(value, str) else value
        if value is None:
            self.refuse(key, "this is required; add a whole number above 0")
        if isinstance(text, str) and text.isascii() and text.lstrip("-").isdigit() and len(text) <= 20:
            text = int(text)
        if isinstance(text, bool) or not isinstance(text, int):
            self.refuse(key, f"{shown(value)} is no whole number; write one above 0")
        if not 0 < text <= NUMBER_MAX:
            self.refuse(key, f"{shown(value)} is out of bounds; it must be above 0 and at most {NUMBER_MAX}")
        return text

    def one_of(self, key: str, words: Iterable[str], default: str | None = None) -> str:
        """A word out of several; `default` stands where there is none."""
        value = self.raw.get(key)
        known = list(words)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or value not in known:
            self.refuse(key, f"{shown(value)} is not known here; use {', '.join(known)}")
        return value

    def flag(self, key: str) -> bool:
        """A boolean; False where there is none."""
        value = self.raw.get(key)
        if value is not None and not isinstance(value, bool):
            self.refuse(key, f"{shown(value)} is neither true nor false; write one of the two")
        return bool(value)

    def leave_out(self, known: Iterable[str]) -> None:
        """A note for every other key that has something in it."""
        for key in self.raw:
            if key not in known and self.has(key):
                self.note(key, "this key is not known here, and is left out")

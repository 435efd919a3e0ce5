"""Whose event it is: pairs of distinct id and person, as this router has seen or looked them up.

Both memories are bounded and the oldest goes first; what is forgotten costs a look-up or a delta more, never an answer.
A person is taken from memory for MEMORY_MS only: another router may have learned better.
"""

from __future__ import annotations

from typing import NamedTuple

PAIRS_MAX = 200_000
RESEND_MS = 30 * 86_400_000
"""A pair that is this much newer than the one sent is sent again, for other routers that saw another person."""
MEMORY_MS = 60_000
"""How long a person that was sent or looked up stands for its distinct id without asking."""

DistinctId = tuple[int, str]
"""(team, distinct id)."""


class _Sent(NamedTuple):
    person: str
    version: int
    """The event time that the pair was sent with."""
    seen_ms: int
    """The latest event time that was seen with it."""
    until_ms: int


class _Found(NamedTuple):
    person: str
    until_ms: int


class Persons:
    """What one router knows of distinct ids."""

    def __init__(self, pairs_max: int = PAIRS_MAX) -> None:
        self._pairs_max = pairs_max
        self._sent: dict[DistinctId, _Sent] = {}
        self._found: dict[DistinctId, _Found] = {}

    def is_news(self, distinct_id: DistinctId, person: str, time_ms: int, now: int) -> bool:
        """Whether the pair must be sent; if so, it counts as sent from here on.

        Where the person differs, the later pair wins in the store, so an earlier one is no news.
        """
        sent = self._sent.get(distinct_id)
        if sent is not None:
            if sent.person == person and time_ms <= sent.version + RESEND_MS:
                if time_ms > sent.seen_ms:
                    self._sent[distinct_id] = sent._replace(seen_ms=time_ms)
                return False
            if (time_ms, person) < (sent.seen_ms, sent.person):
                return False
        elif len(self._sent) >= self._pairs_max:
            del self._sent[next(iter(self._sent))]
        self._sent[distinct_id] = _Sent(person, time_ms, time_ms, now + MEMORY_MS)
        return True

    def person_of(self, distinct_id: DistinctId, now: int) -> str | None:
        """The person, where that is known without asking."""
        for known in (self._sent.get(distinct_id), self._found.get(distinct_id)):
            if known is not None and now < known.until_ms:
                return known.person
        return None

    def learn(self, distinct_id: DistinctId, person: str, now: int) -> None:
        """Keep what a look-up said. That nobody is known is not kept: it changes with the next pair."""
        self._found.pop(distinct_id, None)
        if len(self._found) >= self._pairs_max:
            del self._found[next(iter(self._found))]
        self._found[distinct_id] = _Found(person, now + MEMORY_MS)

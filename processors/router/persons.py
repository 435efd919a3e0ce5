"""Whose event it is: pairs of distinct id and person, as this router has seen or looked them up.

In the store the pair of the newest event wins, and of one millisecond's pairs the greatest person. A router sees a
share of the events, so it cannot know what has won, and a pair for each event would cost as much as the events do. What
it leaves unsent is therefore bounded in event time: of any person, nothing newer than what it sent plus RESEND_MS.

So, however many routers there are and in whatever order events come: the person that the store names is the one of an
event at most RESEND_MS older than the newest event of that distinct id, and is right for good once persons of one
distinct id lie further apart than that. Where they do not, and other routers read the other person's events, the next
event that is RESEND_MS newer than what was sent sets it right, or the first after a look-up has shown the difference.
A distinct id in steady use costs a pair every RESEND_MS; one whose events are all further apart, a pair for each.

Both memories are bounded and the oldest goes first; what is forgotten costs a look-up or a delta more, never an answer.
A person is taken from memory for MEMORY_MS only: another router may have learned better.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

PAIRS_MAX = 200_000
RESEND_MS = 300_000
"""Event time: a pair newer by more than this than the one sent is sent again, since another person's may have won."""
MEMORY_MS = 60_000
"""How long a person that was sent or looked up stands for its distinct id without asking."""

_NEVER = -(2**63)
"""Older than any event."""

DistinctId = tuple[int, str]
"""(team, distinct id)."""


class _Sent(NamedTuple):
    person: str
    version: int
    """The event time that the pair was sent with; _NEVER where the store is known to name somebody else."""
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
        # Ordered ones, since the first of a dictionary that others were deleted before is found in no constant time.
        self._sent: OrderedDict[DistinctId, _Sent] = OrderedDict()
        self._found: OrderedDict[DistinctId, _Found] = OrderedDict()

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
            self._sent.popitem(last=False)
        self._sent[distinct_id] = _Sent(person, time_ms, time_ms, now + MEMORY_MS)
        return True

    def take(self, distinct_id: DistinctId, person: str, version: int, now: int) -> None:
        """A pair was sent that is news whatever was sent before: one of those that say whose an id is and nothing else.

        They are few, and their versions need be no times. An empty person: nobody's.
        """
        sent = self._sent.get(distinct_id)
        if sent is None and len(self._sent) >= self._pairs_max:
            self._sent.popitem(last=False)
        if sent is None or (version, person) > (sent.seen_ms, sent.person):
            self._sent[distinct_id] = _Sent(person, version, version, now + MEMORY_MS)

    def person_of(self, distinct_id: DistinctId, now: int) -> str | None:
        """The person, where that is known without asking; empty where it is known to be nobody's."""
        for known in (self._sent.get(distinct_id), self._found.get(distinct_id)):
            if known is not None and now < known.until_ms:
                return known.person
        return None

    def learn(self, distinct_id: DistinctId, person: str, now: int) -> None:
        """Keep what a look-up said. That nobody is known is not kept: it changes with the next pair.

        Where it names another person than the one sent, the next pair that is not older than those seen is news.
        """
        sent = self._sent.get(distinct_id)
        if sent is not None and sent.person != person:
            self._sent[distinct_id] = sent._replace(version=_NEVER)
        self._found.pop(distinct_id, None)
        if len(self._found) >= self._pairs_max:
            self._found.popitem(last=False)
        self._found[distinct_id] = _Found(person, now + MEMORY_MS)

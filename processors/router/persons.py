"""Whose event it is: pairs of distinct id and person, as this router has seen or looked them up.

In the store the pair of the newest event wins, and of one millisecond's pairs the greatest person. A router sees a
share of the events, so it cannot know what has won, and a pair for each event would cost as much as the events do. What
it leaves unsent is therefore bounded in event time: of any person, nothing newer than what it sent plus RESEND_MS.

So, however many routers there are and in whatever order events come: the person that the store names is the one of an
event at most RESEND_MS older than the newest event of that distinct id, and is right for good once persons of one
distinct id lie further apart than that. Where they do not, and other routers read the other person's events, the next
event that is RESEND_MS newer than what was sent sets it right, or the first after a look-up has shown the difference.

Nor is a pair sent twice within RESEND_MS by the clock, as long as the person stays the same: where events are read
faster than they happened, a pair each would cost as much as the events do. A newer one is then *owed*, and sent when
that time is over, or when the router stops. One that is killed owes nothing any more; then, too, the next event sets
it right.

Both memories are bounded and the oldest goes first; what is forgotten costs a look-up or a delta more, never an answer.
A person is taken from memory for MEMORY_MS only: another router may have learned better.
"""

from __future__ import annotations

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


class Pair(NamedTuple):
    """That a distinct id is a person's, as of an event's time."""

    distinct_id: DistinctId
    person: str
    time_ms: int


class _Sent(NamedTuple):
    person: str
    version: int
    """The event time that the pair was sent with; _NEVER where the store is known to name somebody else."""
    seen_ms: int
    """The latest event time that was seen with it."""
    sent_ms: int
    """When, by the clock."""


class _Owed(NamedTuple):
    pair: Pair
    due_ms: int


class _Found(NamedTuple):
    person: str
    until_ms: int


class Persons:
    """What one router knows of distinct ids."""

    def __init__(self, pairs_max: int = PAIRS_MAX) -> None:
        self._pairs_max = pairs_max
        self._sent: dict[DistinctId, _Sent] = {}
        self._found: dict[DistinctId, _Found] = {}
        self._owed: dict[DistinctId, _Owed] = {}
        """In the order in which they fall due."""

    def is_news(self, distinct_id: DistinctId, person: str, time_ms: int, now: int) -> bool:
        """Whether the pair must be sent now; if so, it counts as sent from here on.

        Where the person differs, the later pair wins in the store, so an earlier one is no news.
        """
        sent = self._sent.get(distinct_id)
        if sent is not None:
            if sent.person == person:
                is_recent = time_ms <= sent.version + RESEND_MS
                if is_recent or now < sent.sent_ms + RESEND_MS:
                    if time_ms > sent.seen_ms:
                        self._sent[distinct_id] = sent._replace(seen_ms=time_ms)
                    if not is_recent:
                        self._owe(Pair(distinct_id, person, time_ms), now)
                    return False
            if (time_ms, person) < (sent.seen_ms, sent.person):
                return False
        elif len(self._sent) >= self._pairs_max:
            del self._sent[next(iter(self._sent))]
        self._sent[distinct_id] = _Sent(person, time_ms, time_ms, now)
        self._owed.pop(distinct_id, None)
        return True

    def _owe(self, pair: Pair, now: int) -> None:
        owed = self._owed.get(pair.distinct_id)
        if owed is None:
            self._owed[pair.distinct_id] = _Owed(pair, now + RESEND_MS)
        elif pair.time_ms > owed.pair.time_ms:
            self._owed[pair.distinct_id] = owed._replace(pair=pair)

    def pay(self, now: int | None) -> list[Pair]:
        """The pairs that are owed and due, or too many to be owed; all, where no time is given. They count as sent."""
        paid = []
        while self._owed:
            owed = next(iter(self._owed.values()))
            if now is not None and now < owed.due_ms and len(self._owed) <= self._pairs_max:
                break
            distinct_id, person, time_ms = owed.pair
            del self._owed[distinct_id]
            sent = self._sent.get(distinct_id)
            if sent is not None and sent.person == person:
                sent_ms = sent.sent_ms if now is None else now
                self._sent[distinct_id] = _Sent(person, time_ms, max(time_ms, sent.seen_ms), sent_ms)
            paid.append(owed.pair)
        return paid

    def person_of(self, distinct_id: DistinctId, now: int) -> str | None:
        """The person, where that is known without asking."""
        sent = self._sent.get(distinct_id)
        if sent is not None and now < sent.sent_ms + MEMORY_MS:
            return sent.person
        found = self._found.get(distinct_id)
        return found.person if found is not None and now < found.until_ms else None

    def learn(self, distinct_id: DistinctId, person: str, now: int) -> None:
        """Keep what a look-up said. That nobody is known is not kept: it changes with the next pair.

        Where it names another person than the one sent, the next pair that is not older than those seen is news.
        """
        sent = self._sent.get(distinct_id)
        if sent is not None and sent.person != person:
            self._sent[distinct_id] = sent._replace(version=_NEVER, sent_ms=_NEVER)
        self._found.pop(distinct_id, None)
        if len(self._found) >= self._pairs_max:
            del self._found[next(iter(self._found))]
        self._found[distinct_id] = _Found(person, now + MEMORY_MS)

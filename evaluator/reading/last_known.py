"""What was last known of persons: bounded by bytes, in memory alone, and asked when the store does not answer.

One entry is a person's key and one packed value, so that a person with three memberships takes about 290 bytes; the
one who was not read for longest goes first. What it holds is what a reader was told, never more: a cohort whose
version came into force later is not answered from it, since its members were not all known then.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from struct import Struct
from sys import getsizeof
from typing import NamedTuple

from cohort_store.freshness import CohortView, member_of
from cohort_store.ports import Membership

ENTRY_BYTES = 115
"""What the table takes for an entry, beside key and value; measured in the tests."""

_HEAD = Struct("<qqqqq?")
_HANDLE = "i"


class Known(NamedTuple):
    """A person as she was read last, and the registry version that the reader knew then."""

    membership: Membership
    known_in: int


class LastKnown:
    """The memory of one evaluator. `bytes_max` 0: it keeps nothing."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What all entries take now; never above the bound."""
        return self._bytes

    @property
    def persons(self) -> int:
        """How many persons are known."""
        return len(self._entries)

    def remember(self, team: int, person: str, known: Known) -> None:
        """Put what is known in the place of what was, and let go of others where that passes the bound."""
        key, value = f"{team}:{person}", _pack(known)
        entries = self._entries
        held = entries.get(key)
        if held is None:
            self._bytes += ENTRY_BYTES + getsizeof(key) + getsizeof(value)
        else:
            self._bytes += getsizeof(value) - getsizeof(held)
        entries[key] = value
        entries.move_to_end(key)
        while self._bytes > self._bytes_max:
            gone, packed = entries.popitem(last=False)
            self._bytes -= ENTRY_BYTES + getsizeof(gone) + getsizeof(packed)

    def recall(self, team: int, person: str) -> Known | None:
        """What is known of the person; None: nothing. Asking keeps her."""
        key = f"{team}:{person}"
        packed = self._entries.get(key)
        if packed is None:
            return None
        self._entries.move_to_end(key)
        return _unpack(packed)


def known_member(cohort: CohortView, known: Known | None) -> bool | None:
    """Whether the person was in the cohort's active version when she was read last; None where that was not known."""
    if known is None or known.known_in < max(cohort.in_force_from, cohort.registry_version):
        return None
    return member_of(cohort, known.membership)


def _pack(known: Known) -> bytes:
    handles, ready, now_ms, stale, warm_from_ms, readers_from = known.membership
    head = _HEAD.pack(-1 if ready is None else ready, now_ms, warm_from_ms, readers_from, known.known_in, stale)
    return head + array(_HANDLE, handles).tobytes() if handles else head


def _unpack(packed: bytes) -> Known:
    ready, now_ms, warm_from_ms, readers_from, known_in, stale = _HEAD.unpack_from(packed)
    handles = array(_HANDLE)
    handles.frombytes(packed[_HEAD.size :])
    said = Membership(frozenset(handles), None if ready < 0 else ready, now_ms, stale, warm_from_ms, readers_from)
    return Known(said, known_in)

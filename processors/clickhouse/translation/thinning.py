"""Thinning as SQL, by another rule than `cohort_store.thinning` and with the same promise.

Time is cut into buckets of the span's length, and of each bucket the first v and the last v entries stay. A window
of that length which holds a dropped entry reaches either to the beginning of the entry's bucket or to its end: so it
holds the bucket's first v or last v entries, all of which stayed. Every window then holds as many kept entries as it
held entries, or at least v. Of a stretch of length L at most 2 * v * (L / span + 2) stay; `keep` thins them once more.
"""

from __future__ import annotations


def thin(timeline: str, span_ms: int, times: int, after: str) -> str:
    """Of the entries later than the instant `after` a subset, with every one later than now; `timeline` is sorted.

    A window that begins before `after` must not be asked for, unless the last entry at or before it stays too.
    """
    buckets = f"arrayMap(e -> intDiv(e.1, {span_ms}), {timeline})"
    first = f"arrayEnumerateUniq({buckets})"
    last = f"arrayReverse(arrayEnumerateUniq(arrayReverse({buckets})))"
    stays = f"e.1 > {after} AND (first <= {times} OR last <= {times} OR e.1 > now)"
    return f"arrayFilter((e, first, last) -> {stays}, {timeline}, {first}, {last})"

"""Thinning: dropping entries that no window of one length can miss.

Source of the rule: going up the list, an entry is dropped when its v-th kept neighbour on the left and its v-th
neighbour on the right lie within the window's length of each other. A window that holds the dropped entry and not the
left one begins at or behind the left one, so it reaches the right one: either way it holds v others. By induction from
the left, every window then holds as many kept entries as it held entries, or at least v.
"""

from __future__ import annotations

from cohort_store.timelines import Timeline


def thin(timeline: Timeline, span_ms: int, times: int = 1) -> Timeline:
    """A subset of which every window (x, x + span_ms] holds min(times, what it held before) entries at least.

    Keeps the first and the last `times` entries; of a stretch of length L about 2 * times * (L / span_ms + 1).
    """
    kept: list[tuple[int, ...]] = []
    for index, entry in enumerate(timeline):
        right = index + times
        if len(kept) < times or right >= len(timeline) or timeline[right][0] - kept[-times][0] > span_ms:
            kept.append(entry)
    return timeline if len(kept) == len(timeline) else tuple(kept)

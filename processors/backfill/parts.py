"""The order in which the parts of a team's persons are filled in, and how one that is too large is halved. Pure.

A part is those persons whose hash leaves `number` when it is divided by `of`. Part n of m is exactly parts n and n + m
of 2m. In the order here those two stand where the one stood, so what was done before stays what was done before: place
p of m becomes places 2p and 2p + 1 of 2m.
"""

from __future__ import annotations

import msgspec

from processors.backfill.ports import FillingStatus, Part

HALVINGS_MAX = 8
"""Of one team's parts. Each doubles how often ClickHouse reads the team's events."""


def next_part(status: FillingStatus) -> Part:
    """The part that is to be filled in next."""
    of, number = status.parts >> status.halvings, status.part >> status.halvings
    for level in reversed(range(status.halvings)):
        if status.part >> level & 1:
            number += of
        of *= 2
    return Part(number, of)


def halved(status: FillingStatus) -> FillingStatus:
    """The same, with parts of half the size."""
    return msgspec.structs.replace(status, part=2 * status.part, parts=2 * status.parts, halvings=status.halvings + 1)

"""The order in which the parts of a team's persons are filled in, and how one that is too large is halved. Pure.

A part is those persons whose hash leaves `number` when it is divided by `of`. Part n of m is exactly parts n and n + m
of 2m. In the order here those two stand where the one stood, so what was done before stays what was done before: place
p of m becomes places 2p and 2p + 1 of 2m.

Within a part persons come in order of their place, which is their hash again: what was sent up to one need not be sent
again by a process that takes over. Halves begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from processors.backfill.ports import FillingStatus, Part

HALVINGS_MAX = 12
"""Of one team's parts. Each doubles how often ClickHouse reads the team's events."""


def next_part(status: FillingStatus) -> Part:
    """The part that is to be filled in next."""
    of, number = status.parts >> status.halvings, status.part >> status.halvings
    for level in reversed(range(status.halvings)):
        if status.part >> level & 1:
            number += of
        of *= 2
    return Part(number, of, status.begins)


def sent_up_to(status: FillingStatus, place: int, persons: int, behind: Mapping[int, int]) -> FillingStatus:
    """The same, with that many of the part under way sent, the last of whom stands at a place.

    She is sent once more: another one may stand there too.
    """
    return replace(
        status, begins=place, before=max(0, persons - 1), of_part=persons, behind=tuple(sorted(behind.items()))
    )


def done(status: FillingStatus, persons: int) -> FillingStatus:
    """The same, with the next part done, of so many persons."""
    return replace(status, part=status.part + 1, persons=status.persons + persons, of_part=0, begins=0, before=0)


def halved(status: FillingStatus) -> FillingStatus:
    """The same, with parts of half the size."""
    return replace(
        status, part=2 * status.part, parts=2 * status.parts, halvings=status.halvings + 1, begins=0, before=0
    )

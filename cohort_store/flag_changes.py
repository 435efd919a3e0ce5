"""Since when each flag is as it is. Pure; kept in the registry, so that every reader knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cohort_store.registry import Registry, TeamRegistry

_deterministic = msgspec.json.Encoder(order="deterministic").encode


def dated(before: Registry, after: Registry, now: int) -> Registry:
    """`after`, with the instant from which on each flag is as it is: `now` for those that `before` has otherwise.

    Of a flag that is the same and has no instant in `before` none is known: it was made before instants were kept.
    """
    teams = {team: _team(before.team(team), of_team, now) for team, of_team in after.teams.items()}
    return msgspec.structs.replace(after, teams=teams)


def _team(before: TeamRegistry, after: TeamRegistry, now: int) -> TeamRegistry:
    known = {_key(raw): _deterministic(raw) for raw in before.flags}
    changed: dict[str, int] = {}
    for raw in after.flags:
        key = _key(raw)
        if key is None:
            continue
        if known.get(key) != _deterministic(raw):
            changed[key] = now
        elif key in before.flags_changed_ms:
            changed[key] = before.flags_changed_ms[key]
    return msgspec.structs.replace(after, flags_changed_ms=changed)


def _key(raw: Any) -> str | None:
    return str(raw["key"]) if isinstance(raw, Mapping) and "key" in raw else None

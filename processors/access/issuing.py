"""Making, revoking and replacing keys: from those in force to those that are to be. Pure, but for drawing secrets."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from cohort_store.access_keys import (
    ID_BYTES,
    KEYS_MAX,
    SECRET_BYTES,
    AccessKey,
    KeyState,
    Right,
    check_name,
    digest_of,
    forget_ended,
    key_text,
)
from cohort_store.durations import format_instant
from cohort_store.errors import BadDefinition

Keys = Mapping[str, AccessKey]
"""A team's keys, by id."""


class Issued(NamedTuple):
    """A new key, and its text: nobody can show it again."""

    key: AccessKey
    text: str


class Wanted(NamedTuple):
    """What a key is to be."""

    team: int
    name: str
    rights: frozenset[Right]
    expires_ms: int | None = None


def issue(wanted: Wanted, now_ms: int) -> Issued:
    """A key that nobody has yet. Raises BadDefinition where it could never be used."""
    name = check_name(wanted.name)
    if not wanted.rights:
        raise BadDefinition("rights", f"a key without rights opens nothing; give one of {', '.join(Right)}")
    if wanted.expires_ms is not None and wanted.expires_ms <= now_ms:
        raise BadDefinition("expires", f"{format_instant(wanted.expires_ms)} is past; give a later instant")
    text = key_text(secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES), wanted.rights)
    rights = tuple(str(right) for right in Right if right in wanted.rights)
    key_id = text.split("_")[1]
    return Issued(AccessKey(key_id, wanted.team, name, digest_of(text), rights, now_ms, wanted.expires_ms), text)


def added(keys: Keys, key: AccessKey, now_ms: int) -> Keys:
    """The keys with this one. Raises BadDefinition where there are too many."""
    kept = {each.id: each for each in forget_ended(keys.values(), now_ms)}
    if len(kept) >= KEYS_MAX:
        raise BadDefinition(
            "",
            f"team {key.team} has {len(kept)} keys; at most {KEYS_MAX}: revoke some, they are forgotten after 30 days",
        )
    return {**kept, key.id: key}


def revoked(keys: Keys, key_id: str, now_ms: int) -> Keys:
    """The keys with that one revoked. To revoke it again changes nothing. Raises BadDefinition where it is unknown."""
    key = named(keys, key_id)
    if key.revoked_ms is None:
        key = msgspec.structs.replace(key, revoked_ms=now_ms)
    return {**keys, key_id: key}


def rotated(keys: Keys, key_id: str, overlap_ms: int, now_ms: int) -> tuple[Keys, Issued]:
    """The keys with a new one in place of that one, which counts for `overlap_ms` more and no longer than before.

    The new one has its name and rights, and where it runs out as long a life. Raises BadDefinition for one that is
    unknown or does not count any more.
    """
    old = named(keys, key_id)
    if (state := old.state_at(now_ms)) is not KeyState.ALIVE:
        raise BadDefinition("", f"key {key_id} is {state}, so nothing uses it; make a new one: muster keys create")
    expires_ms = None if old.expires_ms is None else now_ms + (old.expires_ms - old.created_ms)
    issued = issue(Wanted(old.team, old.name, old.granted(), expires_ms), now_ms)
    ends_ms = min(now_ms + overlap_ms, old.expires_ms or now_ms + overlap_ms)
    leaving = msgspec.structs.replace(old, expires_ms=ends_ms)
    return added({**keys, key_id: leaving}, issued.key, now_ms), issued


def named(keys: Keys, key_id: str) -> AccessKey:
    """The key with that id. Raises BadDefinition where there is none."""
    key = keys.get(key_id)
    if key is None:
        raise BadDefinition("", f"there is no key {key_id[:40]!r}; muster keys list shows the ids of those there are")
    return key


def changed(before: Keys, after: Keys) -> Collection[str]:
    """The ids of the keys that are not the same in both."""
    return [key_id for key_id in {**before, **after} if before.get(key_id) != after.get(key_id)]

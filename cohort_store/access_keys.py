"""Access keys: who may ask the evaluator for what. Pure.

A key reads `mus_<id>_<secret>`, or `mup_<id>_<secret>` where all that it may do is what a browser may. The id is no
secret: lists, logs and commands name a key by it. Of the rest only a digest is ever stored.

Why SHA-256, not a slow hash with a salt: a slow hash protects what people choose. A secret here is 256 random bits,
which nobody finds out of a digest however fast it is made, and a check must not cost a request anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest

import msgspec

from cohort_store.errors import BadDefinition

SECRET_PREFIX, PUBLIC_PREFIX = "mus", "mup"
SECRET_BYTES = 32
ID_BYTES = 5
NAME_CHARACTERS_MAX = 80
KEYS_MAX = 200
"""A team's keys, those that count no more included."""
KEPT_MS = 30 * 86_400_000
"""So long a key that was revoked or ran out is kept, so that logs can say which one is still used."""

_TEXT = re.compile(rf"({SECRET_PREFIX}|{PUBLIC_PREFIX})_([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")


class Right(StrEnum):
    """What a key may do. A route needs one of these, or none."""

    EVALUATE = "evaluate"
    """Ask for flags of a person, and be told of changes."""
    CAPTURE = "capture"
    """Send events."""
    READ_DEFINITIONS = "read_definitions"
    """Read flags and cohorts as they are defined, and how they stand."""
    READ_MEMBERS = "read_members"
    """List who is in a cohort."""
    READ_PERSONS = "read_persons"
    """Read what is known of one person."""
    EXPLAIN = "explain"
    """Ask why, with the events that decided."""


PUBLIC_RIGHTS = frozenset({Right.EVALUATE, Right.CAPTURE})
"""What is given to everybody's browser: it must not show anything that a visitor may not see."""
ALL_RIGHTS = frozenset(Right)


class KeyState(StrEnum):
    """Whether a key counts."""

    ALIVE = "alive"
    EXPIRED = "expired"
    REVOKED = "revoked"


class AccessKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as it is stored: everything but the secret."""

    id: str
    team: int
    name: str
    digest: str
    """SHA-256 of the key's whole text, in hexadecimal."""
    rights: tuple[str, ...]
    """Of `Right`; a word that this version does not know gives nothing."""
    created_ms: int
    expires_ms: int | None = None
    """From this instant on it does not count; None: it does not run out."""
    revoked_ms: int | None = None

    def state_at(self, now_ms: int) -> KeyState:
        """Whether it counts at that instant."""
        if self.revoked_ms is not None:
            return KeyState.REVOKED
        if self.expires_ms is not None and self.expires_ms <= now_ms:
            return KeyState.EXPIRED
        return KeyState.ALIVE

    def ended_ms(self) -> int | None:
        """Since when it does not count, or from when on it will not."""
        ends = [each for each in (self.revoked_ms, self.expires_ms) if each is not None]
        return min(ends, default=None)

    def granted(self) -> frozenset[Right]:
        """Its rights, as far as this version knows them."""
        known = set(Right)
        return frozenset(Right(each) for each in self.rights if each in known)


def key_text(key_id: str, secret: str, rights: Iterable[Right]) -> str:
    """A key as its holder has it."""
    return f"{PUBLIC_PREFIX if set(rights) <= PUBLIC_RIGHTS else SECRET_PREFIX}_{key_id}_{secret}"


def id_in(text: str) -> str | None:
    """The id that a key's text names; None for a text that is no key."""
    found = _TEXT.fullmatch(text)
    return found[2] if found else None


def is_secret(text: str) -> bool:
    """Whether a text reads like a key that must not be shown."""
    return text.startswith(f"{SECRET_PREFIX}_")


def digest_of(text: str) -> str:
    """What is stored of a key in the place of its text."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def fits(text: str, digest: str) -> bool:
    """Whether a text is the one that the digest was made of, in a time that does not tell how much of it is right."""
    return compare_digest(digest_of(text), digest)


def forget_ended(keys: Iterable[AccessKey], now_ms: int) -> list[AccessKey]:
    """The keys without those that ended more than KEPT_MS ago."""
    return [key for key in keys if (ended := key.ended_ms()) is None or ended > now_ms - KEPT_MS]


def check_name(name: str) -> str:
    """The name, stripped. Raises BadDefinition for one that cannot be shown in a list."""
    stripped = name.strip()
    if not stripped or len(stripped) > NAME_CHARACTERS_MAX or not stripped.isprintable():
        raise BadDefinition(
            "name", f"{name[:90]!r} is no name for a key; give 1 to {NAME_CHARACTERS_MAX} printable characters"
        )
    return stripped

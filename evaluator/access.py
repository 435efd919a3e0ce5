"""Who may ask for what: from what a request brought to a grant, or to the reason of a refusal. Pure.

Three kinds of credentials open the evaluator: the public tokens of the settings (`MUSTER_TOKENS`), the keys of the
registry, and one owner's key out of a file. Public tokens are looked up as they are, since every visitor of a site has
them; of the others a digest is compared, in a time that does not depend on what is right of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from cohort_store.access_keys import ALL_RIGHTS, PUBLIC_RIGHTS, AccessKey, KeyState, Right, digest_of, fits, id_in

OWNER = "owner"
"""The owner's key, where a key is named."""


class Grant(NamedTuple):
    """What a credential opens."""

    team: int
    rights: frozenset[Right]
    key: str
    """What limits and logs know it by: a key's id, or a public token as it is."""


class Refusal(StrEnum):
    """Why a request is refused. Callers are not told apart an unknown key from one that counted once: logs are."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    LACKS_RIGHT = "lacks_right"
    IN_ADDRESS = "in_address"
    """A secret key in the query, where every proxy's log keeps it."""
    OTHER_TEAM = "other_team"
    """A secret key beside the token of another team."""
    CLIENT_TOO_FAST = "client_too_fast"
    KEY_TOO_FAST = "key_too_fast"


class Denied(NamedTuple):
    """A refusal, and whose: the id of a key that is known, else nothing."""

    why: Refusal
    key: str = ""


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key of the registry, made ready to be asked for."""

    stored: AccessKey
    grant: Grant


Keyring = Mapping[str, HeldKey]
"""Every team's keys, by id."""


def keyring_of(keys: Iterable[AccessKey]) -> Keyring:
    """The keys by id. They are kept when they have ended too, so that logs can name them."""
    return {key.id: HeldKey(key, Grant(key.team, key.granted(), key.id)) for key in keys}


class Access:
    """What the settings open, beside the keys of the registry."""

    def __init__(self, tokens: Mapping[str, int], owners_key: str | None = None, owners_team: int = 1) -> None:
        self._tokens = {token: Grant(team, PUBLIC_RIGHTS, token) for token, team in tokens.items()}
        self._owners_digest = digest_of(owners_key) if owners_key is not None else None
        self._owner = Grant(owners_team, ALL_RIGHTS, OWNER)

    def grant(self, credential: str, keys: Keyring, now_ms: Callable[[], int]) -> Grant | Denied:
        """What the credential opens. The clock is asked only about a key that was found."""
        known = self._tokens.get(credential)
        if known is not None:
            return known
        key_id = id_in(credential)
        held = keys.get(key_id) if key_id is not None else None
        if held is not None and fits(credential, held.stored.digest):
            match held.stored.state_at(now_ms()):
                case KeyState.ALIVE:
                    return held.grant
                case KeyState.REVOKED:
                    return Denied(Refusal.REVOKED, held.stored.id)
                case KeyState.EXPIRED:
                    return Denied(Refusal.EXPIRED, held.stored.id)
        if self._owners_digest is not None and fits(credential, self._owners_digest):
            return self._owner
        return Denied(Refusal.UNKNOWN)

    def team_of_token(self, token: str) -> int | None:
        """The team of a public token of the settings."""
        known = self._tokens.get(token)
        return known.team if known else None

"""Who falls into a rollout, and into which variant: PostHog's hash, so that both services agree.

Source: PostHog's documented local evaluation. The SHA-1 of ``{flag key}.{id}{salt}``, its first 15
hexadecimal digits as a number, divided by the greatest such number: evenly spread over 0 to 1, the same for ever for
the same flag and id. The salt is empty for a rollout and ``variant`` for the choice of a variant, so that the two
are independent. The id is a person's distinct id, her device's or that of her anonymous days, or a group's key: what
the flag says. A holdout hashes ``holdout-{id}``, without the flag's key, so that all flags leave out the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from struct import Struct

ROLLOUT_SALT = ""
VARIANT_SALT = "variant"
_GREATEST = float(0xFFFFFFFFFFFFFFF)
"""A float on purpose: PostHog rounds before it divides, which the exact quotient of integers would not."""

_FIRST_BITS = Struct(">Q12x").unpack
"""The first 64 of the hash's 160 bits; without the last four of them, they are the 15 digits."""

VariantTable = tuple[tuple[float, str], ...]
"""Upper bounds (exclusive) with the variants below them, ascending."""


def bucket(flag: str, bucketed: str, salt: str = ROLLOUT_SALT) -> float:
    """Where an id falls for a flag, 0 to 1."""
    return _place(f"{flag}.{bucketed}{salt}")


def holdout_bucket(bucketed: str) -> float:
    """Where an id falls for every holdout, 0 to 1."""
    return _place(f"holdout-{bucketed}")


def _place(text: str) -> float:
    digest = sha1(text.encode(errors="surrogatepass"), usedforsecurity=False).digest()
    first: int = _FIRST_BITS(digest)[0]
    return (first >> 4) / _GREATEST


def within_rollout(flag: str, bucketed: str, share: float) -> bool:
    """Whether an id is in the first `share` (0 to 1, the bound included) of the people."""
    return _place(f"{flag}.{bucketed}") <= share


def variant_table(variants: Iterable[tuple[str, float]]) -> VariantTable:
    """The table of (key, percentage) pairs. Bounds are sums of floats in the written order, as in PostHog."""
    table: list[tuple[float, str]] = []
    upper = 0.0
    for key, percentage in variants:
        upper += percentage / 100
        table.append((upper, key))
    return tuple(table)


def variant_for(table: VariantTable, flag: str, bucketed: str) -> str | None:
    """The variant whose stretch the id's hash falls into; None above the last bound, and of an empty table."""
    if not table:
        return None
    value = _place(f"{flag}.{bucketed}{VARIANT_SALT}")
    for upper, key in table:
        if value < upper:
            return key
    return None

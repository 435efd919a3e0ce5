"""The values that a flag may have: its variants, and that of who is held out of an experiment."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from cohort_store.schema import Model

VARIANTS_MAX = 100
FLAG_KEY_MAX = 400
SHARES_SLACK = 0.011
"""By how much variants' percentages may miss 100 in all: PostHog writes three equal ones as 33.33 each."""

_HELD_OUT = re.compile(r"holdout-([0-9]{1,18})")


class Variant(Model):
    """One value of a multivariate flag."""

    key: str = Field(min_length=1, max_length=FLAG_KEY_MAX)
    name: str | None = None
    rollout_percentage: float = Field(strict=True, ge=0, le=100, allow_inf_nan=False)


class Multivariate(Model):
    """The variants of a flag, in the order in which the hash is cut."""

    variants: tuple[Variant, ...] = Field(max_length=VARIANTS_MAX)

    @field_validator("variants")
    @classmethod
    def _share_the_whole(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        keys = [variant.key for variant in variants]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"variant {twice!r} is given twice; keep one of the two")
        total = math.fsum(variant.rollout_percentage for variant in variants)
        if variants and not math.isclose(total, 100, abs_tol=SHARES_SLACK):
            raise ValueError(f"the variants' rollout_percentage add up to {total:g}; they must add up to 100")
        return variants


class Holdout(Model):
    """Who is kept out of the flag, whatever its condition sets say: the first `exclusion_percentage` by a hash that
    all flags of the same holdout share. Their value is the variant `holdout-<id>`."""

    id: int = Field(strict=True, ge=0, description="Names the holdout; part of its value.")
    exclusion_percentage: float = Field(strict=True, ge=0, le=100, allow_inf_nan=False)

    @property
    def variant(self) -> str:
        return f"holdout-{self.id}"


def with_one_holdout(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Filters in which the older `holdout_groups` stands as `holdout`, which wins where both are there.

    Raises ValueError for what cannot be said so.
    """
    plain = {key: value for key, value in raw.items() if key != "holdout_groups"}
    groups = raw.get("holdout_groups") or ()
    if plain.get("holdout") or not groups:
        return plain
    first = groups[0] if isinstance(groups, (list, tuple)) and len(groups) == 1 else None
    if not isinstance(first, Mapping) or first.get("properties"):
        raise ValueError("holdout_groups is a list of one set without properties; write holdout: {id, …} in its place")
    held_out = _HELD_OUT.fullmatch(str(first.get("variant")))
    if held_out is None:
        shown = str(first.get("variant"))[:40]
        raise ValueError(f"holdout_groups has the variant {shown!r}; it is holdout- and a number, as in holdout-3")
    share = first.get("rollout_percentage")
    plain["holdout"] = {"id": int(held_out[1]), "exclusion_percentage": 100 if share is None else share}
    return plain

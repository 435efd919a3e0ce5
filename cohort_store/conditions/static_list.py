"""static list: the person was named in a list.

Nobody writes this condition: a cohort with `members` has it as its tree, and `in_cohort` puts it in place like any
other. It reads the register that a list's members, and nobody else, have (`static_lists.py`), and time changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from cohort_store.conditions.condition import ConditionDefinition
from cohort_store.records import RESERVED_PREFIX, Register

DIGEST_CHARACTERS = 16
REFILLED_WITHIN_MS = 60_000
"""A shard that lost its records has every list again within this time: control sends them anew."""


class StaticListDefinition(ConditionDefinition):
    """The members of a list: `{kind: static_list, list: <digest>, count: 5}`; made of `members: [...]` alone."""

    is_written: ClassVar[bool] = False

    kind: Literal["static_list"] = "static_list"
    list: str = Field(pattern=rf"^[A-Za-z0-9_-]{{{DIGEST_CHARACTERS}}}$", description="The list's digest.")
    count: int = Field(strict=True, ge=0, description="How many are in it.")

    def compile(self) -> StaticList:
        return StaticList(register_of(self.list))


@dataclass(frozen=True, slots=True)
class StaticList:
    """See the module's docstring."""

    register: str

    bytes_max = 40
    warm_up_ms = REFILLED_WITHIN_MS

    def holds(self, present: Register | None, now: int) -> bool:  # noqa: ARG002 - the same at every instant
        return present is not None

    def next_change(self, present: Register | None, now: int) -> int | None:  # noqa: ARG002 - as above
        return None


def register_of(digest: str) -> str:
    """The name of the register that the list's members have."""
    return RESERVED_PREFIX + digest

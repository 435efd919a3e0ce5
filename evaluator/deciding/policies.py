"""What a flag answers while a cohort that decides it cannot be asked: its author's `muster.on_unavailable`. Pure.

`last_known` is decided by the flag's own conditions, with what was known of the person (see `last_known.py`); what
stands here is what remains where nothing was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cohort_store.flags import FixedValue, FlagPolicy


class PolicyKind(StrEnum):
    """Whose word counts."""

    LAST_KNOWN = "last_known"
    """That of the conditions, with the person's last known memberships; of whom nothing is known: false."""
    FAIL_CLOSED = "fail_closed"
    """False."""
    FAIL_OPEN = "fail_open"
    """True; of a multivariate flag, the variant that the hash gives."""
    VALUE = "value"
    """The author's own value."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One flag's policy. `value` belongs to the kind VALUE."""

    kind: PolicyKind
    value: bool | str = False

    def answer(self, hashed: Callable[[], str | None]) -> tuple[bool, str | None]:
        """Whether the flag is on, and with which variant, where nothing is known. `hashed` gives the hash's variant."""
        match self.kind:
            case PolicyKind.FAIL_OPEN:
                return True, hashed()
            case PolicyKind.VALUE:
                return bool(self.value), self.value if isinstance(self.value, str) else None
            case PolicyKind.LAST_KNOWN | PolicyKind.FAIL_CLOSED:
                return False, None

    def __str__(self) -> str:
        match self.kind:
            case PolicyKind.VALUE:
                return f"the value {self.value!r}"
            case PolicyKind.LAST_KNOWN:
                return "last_known, and nothing is known"
            case PolicyKind.FAIL_CLOSED | PolicyKind.FAIL_OPEN:
                return self.kind.value


def compile_policy(policy: FlagPolicy) -> Policy:
    """The policy as its author wrote it."""
    chosen = policy.on_unavailable
    if isinstance(chosen, FixedValue):
        return Policy(PolicyKind.VALUE, chosen.value)
    return Policy(PolicyKind(chosen))

"""Why a flag has its value: PostHog's codes with its words for them, and which of several is told. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class ReasonCode(StrEnum):
    """PostHog's codes, and four of ours."""

    CONDITION_MATCH = "condition_match"
    NO_CONDITION_MATCH = "no_condition_match"
    OUT_OF_ROLLOUT_BOUND = "out_of_rollout_bound"
    NO_GROUP_TYPE = "no_group_type"
    SUPER_CONDITION_VALUE = "super_condition_value"
    HOLDOUT_CONDITION_VALUE = "holdout_condition_value"
    FLAG_DISABLED = "flag_disabled"
    MISSING_DEPENDENCY = "missing_dependency"
    COHORT_UNAVAILABLE = "cohort_unavailable"
    PROPERTY_UNAVAILABLE = "property_unavailable"
    CONTINUITY_UNAVAILABLE = "continuity_unavailable"
    LAST_KNOWN = "last_known"
    """The conditions decided, with memberships as they were last known."""


DESCRIPTIONS = {
    ReasonCode.NO_CONDITION_MATCH: "No matching condition set",
    ReasonCode.OUT_OF_ROLLOUT_BOUND: "Out of rollout bound",
    ReasonCode.NO_GROUP_TYPE: "No group type",
    ReasonCode.SUPER_CONDITION_VALUE: "Super condition value",
    ReasonCode.HOLDOUT_CONDITION_VALUE: "Holdout condition value",
    ReasonCode.FLAG_DISABLED: "Feature flag is disabled",
    ReasonCode.MISSING_DEPENDENCY: "Flag cannot be evaluated due to missing dependency",
}

Verdict = Literal[True] | ReasonCode | None
"""Of one set: True, None where it is unknown, or why it does not match."""


def ranks_as_high(code: ReasonCode, other: ReasonCode) -> bool:
    """Whether a set that does not match for this reason is named in place of an earlier one with another reason."""
    if other is ReasonCode.OUT_OF_ROLLOUT_BOUND:
        return code is other
    return code is not ReasonCode.NO_GROUP_TYPE or other is code

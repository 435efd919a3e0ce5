"""What an OpenFeature client is told of a flag: value, variant, reason and metadata. Pure.

OFREP's request does not say which type the client asks for, so the definition decides:

| flag | value |
| --- | --- |
| without variants | true or false |
| with variants | the variant's key, a text; none while the flag is off |
| with `muster.openfeature_value: payload` | the payload of what the flag answers, as JSON; none where it has none |

No value means that the client takes the default in its code: what else would a client that asks for a text do with
false? A list or null is no value that OFREP knows, so a payload of that kind is refused with the flag's definition.

Reasons are those of OFREP 0.3, which has fewer than OpenFeature: a flag that is off because nothing matched was decided
by targeting all the same, and what a policy answers in place of the conditions is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from cohort_store.flag_conditions import ConditionSet
from cohort_store.flags import FlagDefinition
from cohort_store.freshness import Status
from cohort_store.openfeature_values import payload_value
from evaluator.deciding.flags import FlagAnswer, is_unavailable
from evaluator.deciding.reasons import ReasonCode

ON, OFF = "on", "off"
"""The variants of a flag that has none of its own: OpenFeature's clients expect some name."""


class ResolutionReason(StrEnum):
    """Why a value, in OFREP's words."""

    STATIC = "STATIC"
    """Everybody is answered the same, whoever asks."""
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    """A hash decided: a rollout's percentage, or the choice of a variant."""
    DISABLED = "DISABLED"
    UNKNOWN = "UNKNOWN"
    """The flag's policy answered, since something that decides could not be read."""


class ResolutionMetadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What OpenFeature calls flag metadata: one level of texts, numbers and booleans."""

    status: Status
    """The worst of the cohorts that the flag asks; OK for one that asks none."""
    posthog_reason: str
    description: str
    flag_version: int
    flag_id: int = 0
    condition_index: int | None = None
    payload: str | None = None
    """JSON in a text, as PostHog's clients get it."""


class Resolution(msgspec.Struct, frozen=True, rename="camel"):
    """One flag's answer in OFREP's shape. `value` is absent where the default in the client's code holds."""

    key: str
    reason: ResolutionReason
    variant: str
    metadata: ResolutionMetadata
    value: bool | str | int | float | dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


_BY_CODE: dict[str, ResolutionReason] = {
    ReasonCode.FLAG_DISABLED: ResolutionReason.DISABLED,
    ReasonCode.OUT_OF_ROLLOUT_BOUND: ResolutionReason.SPLIT,
    ReasonCode.HOLDOUT_CONDITION_VALUE: ResolutionReason.SPLIT,
}
"""Reasons that do not depend on which condition set answered; the others are targeting."""

_WORSE = {status: place for place, status in enumerate(Status)}

KNOWN_MAX = 64
"""Answers of a flag that are remembered as they are sent; further ones are put into words again each time."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """A flag's side of the translation, made once when definitions load."""

    has_variants: bool
    payloads: Mapping[str, Any] | None
    """The payloads by variant (or `true`) where they are the flag's value, else None."""
    matched: Sequence[ResolutionReason]
    """By condition set: the reason of an answer that this set gives."""
    is_empty: bool
    """Whether there is no condition set at all, so that the flag is off for everybody."""
    known: dict[tuple[object, ...], msgspec.Raw] = field(default_factory=dict, compare=False)

    def told(self, answer: FlagAnswer, status: Status) -> msgspec.Raw:
        """The answer as OFREP tells it, in JSON."""
        reason = answer.reason
        key = (answer.enabled, answer.variant, reason.code, reason.condition_index, reason.description, status)
        found = self.known.get(key)
        if found is None:
            found = msgspec.Raw(msgspec.json.encode(self.resolve(answer, status)))
            if len(self.known) < KNOWN_MAX:
                self.known[key] = found
        return found

    def resolve(self, answer: FlagAnswer, status: Status) -> Resolution:
        """The answer as OFREP tells it."""
        if self.payloads is not None:
            value = self.payloads.get(answer.variant or "true", msgspec.UNSET) if answer.enabled else msgspec.UNSET
        elif self.has_variants:
            value = answer.variant if answer.enabled and answer.variant is not None else msgspec.UNSET
        else:
            value = answer.enabled
        return Resolution(
            answer.key,
            self._reason(answer),
            answer.variant or (ON if answer.enabled else OFF),
            ResolutionMetadata(
                status,
                str(answer.reason.code),
                answer.reason.description,
                answer.metadata.version,
                answer.metadata.id,
                answer.reason.condition_index,
                answer.metadata.payload,
            ),
            value,
        )

    def _reason(self, answer: FlagAnswer) -> ResolutionReason:
        if is_unavailable(answer):
            return ResolutionReason.UNKNOWN
        index = answer.reason.condition_index
        if answer.reason.code == ReasonCode.CONDITION_MATCH and index is not None and index < len(self.matched):
            return self.matched[index]
        if self.is_empty and answer.reason.code == ReasonCode.NO_CONDITION_MATCH:
            return ResolutionReason.STATIC
        return _BY_CODE.get(answer.reason.code, ResolutionReason.TARGETING_MATCH)


def compile_resolver(flag: FlagDefinition) -> Resolver:
    """The flag's translation into OpenFeature's words."""
    filters = flag.filters
    has_variants = bool(filters.variants)
    payloads = None
    if flag.muster.openfeature_value == "payload":
        payloads = {key: payload_value(payload) for key, payload in filters.payloads.items()}
    reasons = [_reason_of(group, has_variants) for group in filters.groups]
    if reasons and reasons[0] is ResolutionReason.STATIC and _asks_before_its_sets(flag):
        reasons[0] = ResolutionReason.TARGETING_MATCH
    # Behind the first set, another was tried before: no answer of a later one is everybody's.
    matched = [
        ResolutionReason.TARGETING_MATCH if position and reason is ResolutionReason.STATIC else reason
        for position, reason in enumerate(reasons)
    ]
    return Resolver(has_variants, payloads, tuple(matched), not filters.groups)


def worst(statuses: Sequence[Status]) -> Status:
    """The worst of them; OK of none."""
    return max(statuses, key=_WORSE.__getitem__, default=Status.OK)


def _reason_of(group: ConditionSet, has_variants: bool) -> ResolutionReason:
    if group.rollout_percentage not in (None, 100) or (has_variants and group.variant is None):
        return ResolutionReason.SPLIT
    return ResolutionReason.TARGETING_MATCH if group.properties else ResolutionReason.STATIC


def _asks_before_its_sets(flag: FlagDefinition) -> bool:
    """Whether something else than its condition sets may decide the flag."""
    filters = flag.filters
    others = (filters.early_access, filters.holdout, filters.feature_enrollment, flag.is_bucketed_by_device)
    return any(others) or bool(flag.group_types())

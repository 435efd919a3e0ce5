"""Feature flags as people write them: PostHog's JSON shape, and what is refused.

Condition sets stand in `flag_conditions`, variants and holdouts in `flag_variants`, what flags say of each other in
`flag_order`.

Every key that PostHog keeps for its own books (ids, authors, dates, tags) is accepted beside a flag and
beside a condition set, and ignored. A key that would change what a flag answers, and is not known here, is refused:
a flag must never be on for reasons that its author did not write.

The one addition is `muster.on_unavailable`: what the flag answers while a cohort that decides it cannot be
asked. `last_known` (the default) decides with the person's last known memberships, and is false where none are known;
`fail_closed` is false, `fail_open` true or the hash's variant; `{"value": true | false | "variant"}` is that value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from pydantic import (
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from cohort_store.errors import BadDefinition
from cohort_store.flag_conditions import GROUP_TYPE_MAX, ConditionSet, FlagFilter
from cohort_store.flag_variants import FLAG_KEY_MAX, Holdout, Multivariate, Variant, with_one_holdout
from cohort_store.openfeature_values import OpenFeatureValue, check_payload_values
from cohort_store.schema import Model

GROUPS_MAX = 100
PAYLOAD_CHARS_MAX = 20_000
DEVICE_ID = "device_id"

Bucketing = Literal["distinct_id", "device_id"]
"""By which id persons are cut into shares."""


class FlagFilters(Model):
    """Whom the flag is on for, and with what value and payload."""

    groups: tuple[ConditionSet, ...] = Field(default=(), max_length=GROUPS_MAX)
    multivariate: Multivariate | None = None
    payloads: dict[str, Any] = Field(
        default={}, description="By variant, or under `true`: JSON, or a text that holds JSON."
    )
    aggregation_group_type_index: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=GROUP_TYPE_MAX,
        description="The group type that the flag is about; null: persons.",
    )
    feature_enrollment: StrictBool | None = Field(
        default=None,
        description="Early access: the person's `$feature_enrollment/<key>` decides, where she has that property.",
    )
    super_groups: tuple[ConditionSet, ...] | None = Field(
        default=None, max_length=1, description="Early access as it was written before `feature_enrollment`."
    )
    holdout: Holdout | None = Field(default=None, description="Who is held out, whatever the condition sets say.")
    early_exit: StrictBool | None = Field(
        default=None, description="True: who matches a set and is beyond its rollout is asked no later set."
    )
    bucketing_identifier: Bucketing | None = Field(default=None, description="As the flag's own.")

    @model_validator(mode="before")
    @classmethod
    def _in_one_form(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        unused = {key for key in ("super_groups", "feature_enrollment", "early_exit") if raw.get(key) in (False, [])}
        return with_one_holdout({key: value for key, value in raw.items() if key not in unused})

    @field_validator("payloads", mode="before")
    @classmethod
    def _none_is_empty(cls, raw: Any) -> Any:
        return {} if raw is None else raw

    @field_validator("payloads")
    @classmethod
    def _payloads_are_short(cls, payloads: dict[str, Any]) -> dict[str, Any]:
        for key, payload in payloads.items():
            length = len(payload_text(payload))
            if length > PAYLOAD_CHARS_MAX:
                raise ValueError(
                    f"payload {key!r} has {length} characters; at most {PAYLOAD_CHARS_MAX}: keep a reference in it"
                )
        return payloads

    @model_validator(mode="after")
    def _variants_exist(self) -> FlagFilters:
        known = {variant.key for variant in self.variants}
        for index, group in enumerate(self.groups):
            if group.variant is not None and group.variant not in known:
                raise ValueError(
                    f"groups[{index}].variant {group.variant[:80]!r} is none of the flag's variants; name one"
                )
        known |= {self.holdout.variant} if self.holdout else set()
        for key in self.payloads:
            if key != "true" and key not in known:
                raise ValueError(
                    f"payload {key[:80]!r} belongs to no variant; put it under a variant's key, or under 'true'"
                )
        return self

    @model_validator(mode="after")
    def _early_access_asks_persons(self) -> FlagFilters:
        for each in self.early_access:
            if each.variant is not None or any(test.type != "person" for test in each.properties):
                raise ValueError(
                    "super_groups test properties of the person and give no variant; write a set in groups"
                )
        return self

    @model_validator(mode="after")
    def _groups_are_known(self) -> FlagFilters:
        for index, group in enumerate(self.groups):
            if group.aggregation(self.aggregation_group_type_index) is None and any(
                test.type == "group" and test.group_type_index is None for test in group.properties
            ):
                raise ValueError(f"groups[{index}] tests a group's property and names no group; add group_type_index")
        return self

    @property
    def early_access(self) -> tuple[ConditionSet, ...]:
        """The older form of early access, where it counts: at most one set."""
        return () if self.feature_enrollment else self.super_groups or ()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants in order; empty for a boolean flag."""
        return self.multivariate.variants if self.multivariate else ()


class FixedValue(Model):
    """`{"value": true}`, `{"value": false}` or `{"value": "a variant"}`."""

    value: StrictBool | StrictStr


class FlagPolicy(Model):
    """What Muster adds to a flag."""

    on_unavailable: Literal["last_known", "fail_closed", "fail_open"] | FixedValue = Field(
        default="last_known", description="What to answer while a cohort that decides cannot be asked."
    )
    openfeature_value: OpenFeatureValue = Field(
        default="variant", description="What OpenFeature clients get as the value: the variant, or the payload."
    )

    @field_validator("on_unavailable", mode="before")
    @classmethod
    def _is_a_policy(cls, raw: Any) -> Any:
        value = raw.get("value", "") if isinstance(raw, Mapping) else ""
        if type(value) not in (bool, str):
            shown = str(value)[:80]
            raise ValueError(f"value {shown} is none that a flag has; write true, false, or a variant's key in quotes")
        if raw in ("last_known", "fail_closed", "fail_open") or isinstance(raw, (Mapping, FixedValue)):
            return raw
        raise ValueError(
            "on_unavailable is last_known, fail_closed or fail_open, or a value of its own: {value: true}, "
            "{value: false}, {value: a variant}"
        )


class FlagDefinition(Model):
    """One feature flag. Its key is unique in its team; keys that are only PostHog's books are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True)

    key: str = Field(min_length=1, max_length=FLAG_KEY_MAX, description="The name by which code asks.")
    name: str = Field(default="", max_length=4_000, description="For people; PostHog's description of a flag.")
    id: int = Field(
        default=0, strict=True, ge=0, description="PostHog's id, given back in answers; 0 where there is none."
    )
    version: int = Field(default=1, strict=True, ge=0, description="Given back in answers.")
    team: int = Field(default=1, alias="team_id", strict=True, ge=1, le=2**31 - 1, description="The tenant.")
    active: bool = Field(default=True, strict=True, description="Off: the flag answers false to everybody.")
    filters: FlagFilters = Field(default=FlagFilters())
    ensure_experience_continuity: bool = Field(
        default=False,
        strict=True,
        description="Whoever is identified keeps the value that she had by her anonymous id.",
    )
    bucketing_identifier: Bucketing | None = Field(
        default=None, description="By which id persons are cut into shares; null: distinct_id."
    )
    muster: FlagPolicy = Field(default=FlagPolicy())

    @field_validator("name", "version", "ensure_experience_continuity", mode="before")
    @classmethod
    def _null_is_absent(cls, raw: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if raw is None else raw

    @model_validator(mode="after")
    def _policy_fits(self) -> FlagDefinition:
        policy = self.muster.on_unavailable
        if isinstance(policy, FixedValue) and isinstance(policy.value, str):
            known = [variant.key for variant in self.filters.variants]
            if policy.value not in known:
                raise ValueError(f"muster.on_unavailable names {policy.value[:80]!r}; the variants are {known}")
        if self.muster.openfeature_value == "payload":
            check_payload_values(self.filters.payloads)
        return self

    @property
    def is_bucketed_by_device(self) -> bool:
        """Whether persons are cut into shares by the device's id."""
        return (self.bucketing_identifier or self.filters.bucketing_identifier) == DEVICE_ID

    def tests(self) -> Iterator[FlagFilter]:
        """Every test of every condition set."""
        for group in self.filters.groups:
            yield from group.properties

    def cohorts(self) -> Iterator[str]:
        """The cohorts that the flag asks, as `FlagFilter.cohort` names them, with repetitions."""
        return (test.cohort() for test in self.tests() if test.type == "cohort")

    def flags(self) -> Iterator[str]:
        """The flags that it depends on, by key or id, with repetitions."""
        return (test.key for test in self.tests() if test.type == "flag")

    def group_types(self) -> set[int]:
        """The group types that it asks about."""
        of_flag = self.filters.aggregation_group_type_index
        asked = {of_flag, *(group.aggregation(of_flag) for group in self.filters.groups)}
        asked |= {test.group_type_index for test in self.tests()}
        return {index for index in asked if index is not None}


def parse_flag(raw: Any, path: str = "") -> FlagDefinition:
    """One flag from plain JSON or YAML values.

    Raises BadDefinition, which names the path (below `path`), the value, the limit and the remedy.
    """
    if isinstance(raw, Mapping) and raw.get("deleted"):
        raise BadDefinition(path, "this flag is marked deleted; leave it out of the files, and apply with --prune")
    try:
        return FlagDefinition.model_validate(raw)
    except ValidationError as error:
        raise BadDefinition(*_first_problem(error, path)) from None


def plain_flag(flag: FlagDefinition) -> dict[str, Any]:
    """The canonical plain form: what `parse_flag` reads, without defaults and without anybody's books."""
    plain: dict[str, Any] = flag.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return plain


def payload_text(payload: Any) -> str:
    """A payload as SDKs expect it: a text that holds JSON."""
    return payload if isinstance(payload, str) else msgspec.json.encode(payload).decode()


def _first_problem(error: ValidationError, path: str) -> tuple[str, str]:
    found = error.errors(include_url=False)[0]
    where = path
    for step in found["loc"]:
        if isinstance(step, int):
            where += f"[{step}]"
        elif step not in _UNION_ARMS:
            where += f".{step}" if where else step
    return where, _sentence(found)


_REMEDIES = {
    "bool_type": "write true or false, without quotes",
    "int_type": "write a whole number, without quotes",
    "float_type": "write a number, without quotes",
    "string_type": "write a text, in quotes",
}
_UNION_ARMS = {"literal['last_known','fail_closed','fail_open']", "FixedValue", "bool", "str"}


def _sentence(found: Any) -> str:
    """What is wrong, with the value where it is short; an unknown key is named as such."""
    if found["type"] == "extra_forbidden":
        return "this key is not known here; remove it or check its spelling"
    value = found.get("input")
    shown = f" (got {value!r})" if isinstance(value, (str, int, float, bool)) and len(repr(value)) <= 80 else ""
    remedy = f": {_REMEDIES[found['type']]}" if found["type"] in _REMEDIES else ""
    return str(found["msg"]).removeprefix("Value error, ") + remedy + shown

"""Feature flags as people write them: PostHog's JSON shape, and what is refused.

Every key that PostHog keeps for its own books (ids, authors, dates, tags) is accepted beside a flag and
beside a condition set, and ignored. A key that would change what a flag answers, and is not known here, is refused:
a flag must never be on for reasons that its author did not write.

The one addition is `muster.on_unavailable`: what the flag answers while a cohort that decides it cannot be
asked. `last_known` (the default) decides with the person's last known memberships, and is false where none are known;
`fail_closed` is false, `fail_open` true or the hash's variant; `{"value": true | false | "variant"}` is that value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from cohort_store.errors import BadDefinition
from cohort_store.openfeature_values import OpenFeatureValue, check_payload_values
from cohort_store.posthog.properties import posthog_value
from cohort_store.properties import PropertyTest
from cohort_store.schema import Model

GROUPS_MAX = 100
FILTERS_MAX = 100
VARIANTS_MAX = 100
PAYLOAD_CHARS_MAX = 20_000
FLAG_KEY_MAX = 400
SHARES_SLACK = 0.011
"""By how much variants' percentages may miss 100 in all: PostHog writes three equal ones as 33.33 each."""
COHORT_KEY_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,99}$"

_FILTER_BOOKS = frozenset({"label", "cohort_name", "group_key_names", "sourceFilter"})
_GROUP_BOOKS = frozenset({"description", "sort_key", "users_affected", "uuid"})
_VALUELESS = ("is_set", "is_not_set")


def _absent(raw: Any) -> Any:
    """None for each way in which PostHog writes that a feature is not used."""
    return None if raw is False or raw in ("distinct_id", [], ()) else raw


Unsupported = Annotated[None, BeforeValidator(_absent)]
"""A feature of PostHog's that would change answers and is not here: only its absence is accepted."""


class FlagFilter(Model):
    """One test of a condition set: a person's property, or membership in a cohort.

    `{"type": "person", "key": "plan", "operator": "exact", "value": ["pro"]}`;
    `{"type": "cohort", "key": "id", "operator": "in", "value": 3}` (the cohort's id, or its key).
    """

    type: Literal["person", "cohort"] = Field(default="person", description="person or cohort.")
    key: str = Field(min_length=1, max_length=200, description="The property's name; `id` for a cohort.")
    operator: str | None = Field(default=None, description="A property operator; in or not_in for a cohort.")
    value: Any = Field(default=None, description="What to compare with; the cohort's id or key.")

    @model_validator(mode="before")
    @classmethod
    def _without_books(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        if raw.get("negation"):
            raise ValueError("negation is not a flag's way to say not; use the operator is_not or not_in")
        return {key: value for key, value in raw.items() if key not in _FILTER_BOOKS and key != "negation"}

    @model_validator(mode="after")
    def _means_something(self) -> FlagFilter:
        if self.type == "cohort":
            self.cohort()
            self.wants_member()
        else:
            self.property_test()
        return self

    def cohort(self) -> str:
        """The cohort meant, as text: its key, or where no cohort has that key its id. For filters of type cohort."""
        value = self.value[0] if isinstance(self.value, list) and len(self.value) == 1 else self.value
        if isinstance(value, bool) or not isinstance(value, (int, str)) or not value:
            raise ValueError(f"a cohort filter's value is one cohort's id or key, not {str(self.value)[:80]!r}")
        return str(value)

    def wants_member(self) -> bool:
        """True for `in` (PostHog's older flags say nothing, or exact), False for `not_in`."""
        if self.operator in (None, "in", "exact"):
            return True
        if self.operator == "not_in":
            return False
        raise ValueError(f"operator {str(self.operator)[:40]!r} does not ask a cohort; use in or not_in")

    def property_test(self) -> PropertyTest:
        """The test on the person's properties; for filters of type person."""
        operator = self.operator or "exact"
        if operator in ("in", "not_in"):
            raise ValueError(
                f"operator {operator} asks a cohort; give the filter the type cohort, or use exact / is_not"
            )
        value = None if operator in _VALUELESS else self.value
        value = posthog_value(operator, value)
        try:
            return PropertyTest(property=self.key, op=operator, value=value)
        except ValidationError as error:
            raise ValueError(_sentence(error.errors(include_url=False)[0])) from None


class ConditionSet(Model):
    """One entry of `filters.groups`: holds when every property does, for `rollout_percentage` of the people."""

    properties: tuple[FlagFilter, ...] = Field(default=(), max_length=FILTERS_MAX)
    rollout_percentage: float | None = Field(
        default=None, strict=True, ge=0, le=100, allow_inf_nan=False, description="None means 100."
    )
    variant: str | None = Field(default=None, description="The variant that this set gives, whatever the hash says.")
    aggregation_group_type_index: Unsupported = Field(
        default=None, description="Group conditions are not supported: null."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_books(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        kept = {key: value for key, value in raw.items() if key not in _GROUP_BOOKS}
        return kept | {"properties": ()} if kept.get("properties", ()) is None else kept


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


class FlagFilters(Model):
    """Whom the flag is on for, and with what value and payload."""

    groups: tuple[ConditionSet, ...] = Field(default=(), max_length=GROUPS_MAX)
    multivariate: Multivariate | None = None
    payloads: dict[str, Any] = Field(
        default={}, description="By variant, or under `true`: JSON, or a text that holds JSON."
    )
    aggregation_group_type_index: Unsupported = Field(default=None, description="Group flags are not supported: null.")
    super_groups: Unsupported = Field(default=None, description="Early access is not supported: null.")
    feature_enrollment: Unsupported = Field(default=None, description="Early access is not supported: null.")
    holdout_groups: Unsupported = Field(default=None, description="Holdouts are not supported: null.")
    holdout: Unsupported = Field(default=None, description="Holdouts are not supported: null.")
    early_exit: Unsupported = Field(default=None, description="Early exit is not supported: false.")

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
        for key in self.payloads:
            if key != "true" and key not in known:
                raise ValueError(
                    f"payload {key[:80]!r} belongs to no variant; put it under a variant's key, or under 'true'"
                )
        return self

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
    ensure_experience_continuity: Unsupported = Field(default=None, description="Continuity is not supported: false.")
    bucketing_identifier: Unsupported = Field(
        default=None, description="Other identifiers are not supported: distinct_id."
    )
    muster: FlagPolicy = Field(default=FlagPolicy())

    @field_validator("name", "version", mode="before")
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

    def cohorts(self) -> Iterator[str]:
        """The cohorts that the flag asks, as `FlagFilter.cohort` names them, with repetitions."""
        for group in self.filters.groups:
            for each in group.properties:
                if each.type == "cohort":
                    yield each.cohort()


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
    if found["type"] == "none_required":
        return f"{_described(found['loc'])} (got {str(found.get('input'))[:80]})"
    value = found.get("input")
    shown = f" (got {value!r})" if isinstance(value, (str, int, float, bool)) and len(repr(value)) <= 80 else ""
    remedy = f": {_REMEDIES[found['type']]}" if found["type"] in _REMEDIES else ""
    return str(found["msg"]).removeprefix("Value error, ") + remedy + shown


def _described(place: tuple[int | str, ...]) -> str:
    """The description of the unsupported feature at a place."""
    for model in (FlagFilters, ConditionSet, FlagDefinition):
        field = model.model_fields.get(str(place[-1]))
        if field is not None:
            return (field.description or "").rstrip(".")
    return "only null is accepted"

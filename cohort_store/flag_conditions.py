"""One condition set of a flag, and the tests in it, as people write them.

A test asks a property of the person or of a group, membership in a cohort, or the value of another flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from cohort_store.posthog.properties import posthog_value
from cohort_store.properties import PropertyTest
from cohort_store.schema import Model

FILTERS_MAX = 100
GROUP_TYPE_MAX = 4
"""The highest index of a group type: PostHog has five."""
AS_THE_FLAG: Final = "flag"
"""A set that does not say whether it is about persons or groups is about what its flag is about."""

EVALUATES_TO = "flag_evaluates_to"

_FILTER_BOOKS = frozenset(
    {"label", "cohort_name", "group_key_names", "sourceFilter", "dependency_chain", "bytecode", "conditionHash"}
)
_SET_BOOKS = frozenset({"description", "sort_key", "users_affected", "uuid"})
_SPELLINGS = {"icontains_multi": "icontains", "not_icontains_multi": "not_icontains"}
_VALUELESS = ("is_set", "is_not_set")


class FlagFilter(Model):
    """One test of a condition set.

    `{"type": "person", "key": "plan", "operator": "exact", "value": ["pro"]}`;
    `{"type": "group", "group_type_index": 0, "key": "seats", "operator": "gt", "value": 10}`;
    `{"type": "cohort", "key": "id", "operator": "in", "value": 3}` (the cohort's id, or its key);
    `{"type": "flag", "key": "checkout", "operator": "flag_evaluates_to", "value": true}` (the flag's key, or its id).
    """

    type: Literal["person", "group", "cohort", "flag"] = Field(
        default="person", description="person, group, cohort or flag."
    )
    key: str = Field(
        min_length=1, max_length=400, description="The property's name; `id` for a cohort; the other flag's key or id."
    )
    operator: str | None = Field(
        default=None, description="A property operator; in or not_in for a cohort; flag_evaluates_to for a flag."
    )
    value: Any = Field(default=None, description="What to compare with; the cohort's id or key; the flag's value.")
    group_type_index: int | None = Field(
        default=None, strict=True, ge=0, le=GROUP_TYPE_MAX, description="Whose property, for type group."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_books(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        if raw.get("negation"):
            raise ValueError("negation is not a flag's way to say not; use the operator is_not or not_in")
        plain = {key: value for key, value in raw.items() if key not in _FILTER_BOOKS and key != "negation"}
        if plain.get("type") == "flag" and type(plain.get("key")) is int:
            plain["key"] = str(plain["key"])
        return plain

    @model_validator(mode="after")
    def _means_something(self) -> FlagFilter:
        if self.group_type_index is not None and self.type != "group":
            raise ValueError(f"group_type_index belongs to the type group, not {self.type}; remove it, or use that")
        if self.type == "cohort":
            self.cohort()
            self.wants_member()
        elif self.type == "flag":
            self.flag_value()
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

    def flag_value(self) -> bool | str:
        """What the other flag must evaluate to: true is any value that is on. For filters of type flag."""
        if self.operator != EVALUATES_TO:
            raise ValueError(f"operator {str(self.operator)[:40]!r} does not ask a flag; use {EVALUATES_TO}")
        if isinstance(self.value, bool) or (isinstance(self.value, str) and self.value):
            return self.value
        raise ValueError(f"a flag evaluates to true, false or a variant's key, not to {str(self.value)[:80]!r}")

    def property_test(self) -> PropertyTest:
        """The test on the person's or the group's properties; for filters of these two types."""
        operator = self.operator or "exact"
        operator = _SPELLINGS.get(operator, operator)
        if operator in ("in", "not_in"):
            raise ValueError(
                f"operator {operator} asks a cohort; give the filter the type cohort, or use exact / is_not"
            )
        value = posthog_value(operator, None if operator in _VALUELESS else self.value)
        try:
            return PropertyTest(property=self.key, op=operator, value=value)
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            raise ValueError(str(found["msg"]).removeprefix("Value error, ")) from None


class ConditionSet(Model):
    """One entry of `filters.groups`: holds when every test does, for `rollout_percentage` of the persons or groups."""

    properties: tuple[FlagFilter, ...] = Field(default=(), max_length=FILTERS_MAX)
    rollout_percentage: float | None = Field(
        default=None, strict=True, ge=0, le=100, allow_inf_nan=False, description="None means 100."
    )
    variant: str | None = Field(default=None, description="The variant that this set gives, whatever the hash says.")
    aggregation_group_type_index: int | Literal["flag"] | None = Field(
        default=AS_THE_FLAG,
        description="The group type that the set is about; null: persons; absent, or `flag`: as the flag.",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_books(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        kept = {key: value for key, value in raw.items() if key not in _SET_BOOKS}
        kept = kept | {"properties": ()} if kept.get("properties", ()) is None else kept
        index = kept.get("aggregation_group_type_index")
        if index not in (None, AS_THE_FLAG) and (type(index) is not int or not 0 <= index <= GROUP_TYPE_MAX):
            shown = str(index)[:40]
            raise ValueError(f"aggregation_group_type_index {shown!r} is no group type; write 0 to {GROUP_TYPE_MAX}")
        return kept

    def aggregation(self, of_flag: int | None) -> int | None:
        """The group type that the set is about, None for persons; `of_flag` is its flag's."""
        index = self.aggregation_group_type_index
        return of_flag if index == AS_THE_FLAG else index

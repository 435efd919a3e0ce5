"""person property(key, operator, value): a property of the person passes a test, now.

Reads no timeline but one register of her record, which holds the property's present value as JSON text. Proof sketch.
The highest (version, text) wins, so of any writes, in any order and however often, the same one remains, and it
alone answers. A value that was unset is the text `null`, and is kept: else an older write that comes late would bring
it back. By time alone only a relative date flips, at the instants that `properties.DatedTest` tells exactly.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec
from pydantic import field_validator

from cohort_store.conditions.condition import AnyCondition, ConditionDefinition
from cohort_store.errors import BadRecord
from cohort_store.properties import DatedTest, Properties, PropertyTest, compile_dated_test
from cohort_store.records import FORGOTTEN, RESERVED_PREFIX, VALUE_BYTES_MAX, Register

VERSION_BYTES = 9
FRAME_BYTES = 7
"""What packing puts around a name and a text."""

_decode = msgspec.json.Decoder().decode
_MISSING: Properties = {}


class PersonPropertyDefinition(ConditionDefinition, PropertyTest):
    """What the person is: `{kind: person_property, property: plan, op: exact, value: pro}`."""

    kind: Literal["person_property"] = "person_property"

    @field_validator("property")
    @classmethod
    def _is_a_persons_own(cls, name: str) -> str:
        if name.startswith(RESERVED_PREFIX):
            raise ValueError(f"{name[:40]!r} is a name of Muster's own ({RESERVED_PREFIX}); use in_cohort for a list")
        if name == FORGOTTEN:
            raise ValueError(f"{name!r} is a name of Muster's own; name a property that persons have")
        return name

    def compile(self) -> PersonProperty:
        return PersonProperty(self)


class PersonProperty:
    """See the module's docstring. Equal, and hashed, by what the test means."""

    warm_up_ms = None
    """A value that was set before the stream began is not known, however long it runs."""

    def __init__(self, test: PropertyTest) -> None:
        self.register = test.property
        self.bytes_max = len(test.property.encode()) + VALUE_BYTES_MAX + VERSION_BYTES + FRAME_BYTES
        self.test = test

    def holds(self, present: Register | None, now: int) -> bool:
        return self._dated.holds(self._properties(present), now)

    def next_change(self, present: Register | None, now: int) -> int | None:
        return self._dated.next_change(self._properties(present), now)

    def suffices_for(self, other: AnyCondition) -> bool:
        """See Sufficing: the register is kept as it is, whatever is asked of it."""
        return isinstance(other, PersonProperty) and self.register == other.register

    def _properties(self, present: Register | None) -> Properties:
        if present is None:
            return _MISSING
        try:
            return {self.register: _decode(present[1])}
        except msgspec.DecodeError as error:
            raise BadRecord(f"register {self.register!r} holds {present[1][:60]!r}, no JSON: {error}") from None

    @cached_property
    def _dated(self) -> DatedTest:
        return compile_dated_test(self.test)

    @cached_property
    def _canonical(self) -> str:
        return msgspec.json.encode(self.test.canonical()).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PersonProperty) and other._canonical == self._canonical

    def __hash__(self) -> int:
        return hash(self._canonical)

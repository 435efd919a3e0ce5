"""What of an event's property goes into an entry: a number in fixed point, or a text's hash.

Both are what ClickHouse makes of the same property, so that history gives the same entries:

* a number (`number_of`: a JSON number, or a text that is one) as ``toInt64(round(x * 1000000))``, which rounds half to
  even; none where that is beyond 64 bits. Why fixed point: a sum of floats depends on its order;
* a text (`text_of`) as ``reinterpretAsInt64(substring(MD5(text), 1, 8))``: its first eight bytes, little-endian.
  Among the 1,001 texts that are kept at most, two are taken for one with a probability of 3 in 10¹⁴.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import md5
from typing import Any

from cohort_store.property_values import number_of, text_of

FIXED_POINT = 1_000_000
"""Values are whole multiples of a millionth."""
FIXED_POINT_MAX = 2**63 - 1
NUMBER_MAX = FIXED_POINT_MAX // FIXED_POINT


class Form(StrEnum):
    """As what a property's value is read. Each has a timeline of its own."""

    NUMBER = "number"
    NON_NEGATIVE = "non_negative"
    """A number; a negative one does not count, and is a dead letter."""
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ValueOf:
    """The property that an entry's value comes from. An event without such a value has no entry."""

    property: str
    form: Form

    def of(self, properties: Mapping[str, Any]) -> int | None:
        """The value of an event with these properties; None where it does not count.

        Raises BadEvent for a list or object that is nested too deep to be a text.
        """
        value = properties.get(self.property)
        if value is None:
            return None
        if self.form is Form.TEXT:
            return hash_of(text_of(value))
        amount = fixed_point_of(value)
        return None if amount is None or (amount < 0 and self.form is Form.NON_NEGATIVE) else amount

    def refuses(self, properties: Mapping[str, Any]) -> bool:
        """Whether the value is negative although its definition says that it never is."""
        amount = fixed_point_of(properties.get(self.property)) if self.form is Form.NON_NEGATIVE else None
        return amount is not None and amount < 0

    def canonical(self) -> list[object]:
        """Property and form."""
        return [self.property, self.form.value]


def fixed_point_of(value: Any) -> int | None:
    """A property's number in millionths; None where it is no number, or beyond 64 bits."""
    number = number_of(value)
    if number is None or abs(number) > NUMBER_MAX:
        return None
    return round(number * FIXED_POINT)


def hash_of(text: str) -> int:
    """A text's hash, from −2⁶³ to 2⁶³ − 1."""
    return int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[:8], "little", signed=True)

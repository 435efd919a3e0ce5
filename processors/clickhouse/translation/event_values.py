"""What of an event's property goes into an entry, as SQL: what `cohort_store.event_values` makes of it."""

from __future__ import annotations

from cohort_store.event_values import FIXED_POINT, NUMBER_MAX, Form, ValueOf
from processors.clickhouse.translation import literals

FIXED_POINT_OF = f"""(number) -> if(
    abs(number) <= {NUMBER_MAX}, toInt64(round(number * {FIXED_POINT})), NULL
) AS fixed_point_of"""
HASH_OF = "(text) -> reinterpretAsInt64(substring(MD5(text), 1, 8)) AS hash_of"


def value_of(read: ValueOf) -> str:
    """The value of an event with the column `properties`; NULL where it does not count."""
    of = f"properties, {literals.text(read.property)}"
    if read.form is Form.TEXT:
        return f"if(JSONType({of}) != 'Null', hash_of(text_of({of})), NULL)"
    amount = f"fixed_point_of(number_of({of}))"
    return f"if({amount} >= 0, {amount}, NULL)" if read.form is Form.NON_NEGATIVE else amount

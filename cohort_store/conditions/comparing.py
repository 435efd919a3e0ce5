"""The six operators with which a count, or a property's aggregate, compares."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Literal

Operator = Literal["gte", "gt", "lte", "lt", "eq", "ne"]

COMPARE: dict[Operator, Callable[[int, int], bool]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
    "ne": operator.ne,
}

"""SQL of `cohort_store.conditions.static_list`: the register is there."""

from __future__ import annotations

from cohort_store.conditions.static_list import StaticList
from processors.clickhouse.translation.conditions.translation import RegisterTranslation


def _holds(condition: StaticList, register: str) -> str:  # noqa: ARG001 - the column says all
    return f"{register} != ''"


TRANSLATION = RegisterTranslation("static_list", StaticList, _holds)

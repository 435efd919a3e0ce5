"""SQL of `cohort_store.conditions.person_property`: the register passes the test, or its absence does."""

from __future__ import annotations

from cohort_store.conditions.person_property import PersonProperty
from processors.clickhouse.translation.conditions.translation import RegisterTranslation
from processors.clickhouse.translation.properties import passes


def _holds(condition: PersonProperty, register: str) -> str:
    return passes(condition.test, register)


TRANSLATION = RegisterTranslation("person_property", PersonProperty, _holds)

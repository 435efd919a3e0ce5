"""The SQL of the kinds of condition, one module a kind, named as in `cohort_store.conditions`.

It is found by being here: a module holds `TRANSLATION`. A kind without one fails a test, and Crash is what a statement
raises for it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from cohort_store.conditions.condition import Condition, RegisterCondition
from cohort_store.errors import Crash
from processors.clickhouse.translation.conditions.translation import RegisterTranslation, Translation

AnyTranslation = Translation[Any] | RegisterTranslation[Any]


@cache
def translations() -> dict[str, AnyTranslation]:
    """Each kind's SQL, by the kind's name."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    found = (module.TRANSLATION for module in modules if hasattr(module, "TRANSLATION"))
    return {each.kind: each for each in found}


def translation_of(condition: Condition) -> Translation[Any]:
    """The SQL of a compiled condition's kind."""
    found = _found(condition)
    if isinstance(found, Translation):
        return found
    raise Crash(f"the SQL of {type(condition).__name__} reads a register, and the condition timelines")


def register_translation_of(condition: RegisterCondition) -> RegisterTranslation[Any]:
    """The SQL of a compiled condition's kind that reads a register."""
    found = _found(condition)
    if isinstance(found, RegisterTranslation):
        return found
    raise Crash(f"the SQL of {type(condition).__name__} reads timelines, and the condition a register")


def _found(condition: object) -> AnyTranslation:
    for each in translations().values():
        if isinstance(condition, each.condition):
            return each
    raise Crash(f"no SQL for {type(condition).__name__}; add a module to {__name__}")

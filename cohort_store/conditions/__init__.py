"""The kinds of condition, one module a kind.

A kind's module holds its pydantic definition (what people write) and its compiled form (`holds`,
`next_change`, `keep`). It is found by being here: a new kind is a new module, and nothing else.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from cohort_store.conditions.condition import ConditionDefinition


def kinds() -> tuple[type[ConditionDefinition], ...]:
    """Every kind's definition, in the order of their names."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return tuple(sorted(set(ConditionDefinition.kinds()), key=lambda kind: kind.kind_name()))

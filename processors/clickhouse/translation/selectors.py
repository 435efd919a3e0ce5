"""Selectors as SQL over the columns `event` and `properties`."""

from __future__ import annotations

from cohort_store.selectors import Alternative, Selector
from processors.clickhouse.translation import literals
from processors.clickhouse.translation.properties import passes


def matches(selector: Selector) -> str:
    """Whether an event matches. One whose properties are no JSON matches no alternative that tests them."""
    found = list(dict.fromkeys(_matches(alternative) for alternative in selector.alternatives))
    return found[0] if len(found) == 1 else f"({' OR '.join(found)})"


def _matches(alternative: Alternative) -> str:
    parts = [] if alternative.event is None else [f"event = {literals.text(alternative.event)}"]
    if alternative.where:
        parts += ["isValidJSON(properties)", *(passes(test) for test in alternative.where)]
    return f"({' AND '.join(parts)})" if parts else "true"

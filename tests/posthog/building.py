"""PostHog's JSON for tests: a bundle around one cohort, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

from cohort_store.definition_files import COHORT, Definitions, Name, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.definitions import to_plain

PERFORMED: dict[str, Any] = {
    "type": "behavioral",
    "value": "performed_event",
    "key": "buy",
    "event_type": "events",
    "time_value": "30",
    "time_interval": "day",
}


def read(*values: Any) -> Definitions:
    """Each value as a file of its own, `0.json`, `1.json`, …"""
    return read_definitions(
        [DefinitionText(f"{number}.json", json.dumps(value).encode()) for number, value in enumerate(values)]
    )


def cohort_of(*leaves: Any, kind: str = "AND", **more: Any) -> dict[str, Any]:
    """A cohort with the id 7."""
    return {"id": 7, "name": "Seven", "filters": {"properties": {"type": kind, "values": list(leaves)}}, **more}


def when_of(*leaves: Any, kind: str = "AND", **beside: Any) -> Any:
    """The tree that becomes of a cohort with these leaves, in a bundle with what stands beside it."""
    made = read({"cohorts": [cohort_of(*leaves, kind=kind)], **beside})
    return plain_of(made)["when"]


def plain_of(made: Definitions, key: str = "7") -> dict[str, Any]:
    return to_plain(made.cohorts[Name(COHORT, 1, key)])

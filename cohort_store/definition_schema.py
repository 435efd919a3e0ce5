"""The JSON Schema of a definitions file, for editors: `python -m cohort_store.definition_schema`.

Published as `schema/definitions.schema.json`. It describes the shape; what only the whole can tell (references,
circles, bounds across cohorts) is checked when files are applied.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import Field

from cohort_store.conditions import kinds
from cohort_store.definition_files import FLAGS_MAX
from cohort_store.definitions import CohortFile
from cohort_store.flags import FlagDefinition


class DefinitionsFile(CohortFile):
    """Cohorts and feature flags of Muster: `{team?, cohorts: [...], flags: [...]}`."""

    flags: tuple[FlagDefinition, ...] = Field(default=(), max_length=FLAGS_MAX)
    group_types: dict[str, int] = Field(
        default={}, description="How the team names its group types, with their numbers."
    )


def definitions_schema() -> dict[str, Any]:
    """The schema, by the names that people write."""
    schema = _without(DefinitionsFile.model_json_schema(by_alias=True), _unwritten())
    for form in schema["$defs"].values():
        # A condition is known by its kind, so that an editor asks for it although the model has a default.
        if "const" in form.get("properties", {}).get("kind", {}):
            form["required"] = ["kind", *form.get("required", ())]
    cohort = schema["$defs"]["CohortDefinition"]
    cohort["required"].remove("when")
    cohort["oneOf"] = [{"required": ["when"]}, {"required": ["members"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Muster definitions"}


def _unwritten() -> set[str]:
    """The conditions that people do not write."""
    return {kind.__name__ for kind in kinds() if not kind.is_written}


def _without(schema: Any, names: set[str]) -> Any:
    """The schema without these definitions and without what refers to them."""
    references = {f"#/$defs/{name}" for name in names}
    if isinstance(schema, list):
        return [
            _without(each, names) for each in schema if not (isinstance(each, dict) and each.get("$ref") in references)
        ]
    if isinstance(schema, dict):
        return {key: _without(each, names) for key, each in schema.items() if key not in names}
    return schema


def schema_text() -> str:
    """The published file's text."""
    return json.dumps(definitions_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())

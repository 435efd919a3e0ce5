"""The JSON Schema of a file of cases, for editors: `python -m processors.offline.case_schema`.

Published as `schema/cases.schema.json`.
"""

from __future__ import annotations

import json
import sys

from processors.offline.case_files import CaseFile


def schema_text() -> str:
    """The published file's text."""
    schema = CaseFile.model_json_schema(by_alias=True)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Cases for muster test"}
    return json.dumps(whole, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())

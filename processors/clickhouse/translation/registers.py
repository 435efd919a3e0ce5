"""Registers as SQL: what events say of their persons, and of several writes the one that remains.

Sources: `cohort_store.person_updates` for what an event or a state writes, `records.register_wins` for which write
wins. A register's value is the JSON text as ClickHouse writes it, which means the same as the one that the router
sends; only where two values were set in the same millisecond can the two notations choose differently.
"""

from __future__ import annotations

from collections.abc import Collection

from cohort_store.person_updates import STATES_ABOVE
from cohort_store.records import RESERVED_PREFIX, VALUE_BYTES_MAX
from processors.clickhouse.translation import literals

WRITES_OF = """(name, json, snapshot, time_ms) -> arrayConcat(
    multiIf(
        JSONHas(json, '$unset', name) OR has(JSONExtract(json, '$unset', 'Array(String)'), name),
            [(name, time_ms, 'null')],
        JSONHas(json, '$set', name), [(name, time_ms, JSONExtractRaw(json, '$set', name))],
        JSONHas(snapshot, name), [(name, time_ms, JSONExtractRaw(snapshot, name))],
        []
    ),
    if(JSONHas(json, '$set_once', name), [(name, -time_ms, JSONExtractRaw(json, '$set_once', name))], [])
) AS writes_of"""


def writes(names: Collection[str], lists: str = "", states: str = "") -> str:
    """Rows `(person_id, name, version, value)`, one a write, of the events in `source` to the registers of these names.

    With `states`, which selects persons' states, of those in the place of events; with `lists`, which selects
    `(digest, person_id)`, also what makes its persons members of static lists.
    """
    properties = sorted(name for name in names if not name.startswith(RESERVED_PREFIX))
    quoted = ", ".join(map(literals.text, properties))
    of_persons = _of_states(quoted, states) if states else _OF_EVENTS.format(quoted, VALUE_BYTES_MAX)
    parts = [of_persons] if properties else []
    if lists:
        parts.append(_OF_LISTS.format(literals.text(RESERVED_PREFIX), lists))
    return "\n    UNION ALL\n    ".join(parts or [_NONE])


_OF_EVENTS = """SELECT person_id, write.1 AS name, write.2 AS version, write.3 AS value
    FROM source
    ARRAY JOIN arrayFlatten(
        arrayMap(name -> writes_of(name, properties, person_properties, time_ms), [{}])
    ) AS write
    WHERE length(value) <= {}"""


def _of_states(names: str, states: str) -> str:
    """A whole state: of the first one, which nothing came before, what it names alone."""
    return f"""SELECT person_id, name, state_version + {STATES_ABOVE} AS version, multiIf(
        name = 'created_at' AND created != '', concat('"', created, '"'),
        JSONHas(state, name), JSONExtractRaw(state, name),
        'null'
    ) AS value
    FROM ({states}) AS states
    ARRAY JOIN [{names}] AS name
    WHERE length(value) <= {VALUE_BYTES_MAX}
        AND (state_version > 0 OR JSONHas(state, name) OR (name = 'created_at' AND created != ''))"""  # noqa: S608


_OF_LISTS = """SELECT person_id, concat({}, digest) AS name, toInt64(0) AS version, 'true' AS value
    FROM ({})"""
_NONE = "SELECT '' AS person_id, '' AS name, toInt64(0) AS version, '' AS value WHERE false"


def present(name: str) -> str:
    """A person's register, of her writes: a JSON object of that one property; an empty text where she has none."""
    wanted = f"name = {literals.text(name)}"
    opening = literals.text(f"{{{literals.json_text(name)}:")
    latest = f"maxIf((version, value), {wanted}).2"
    return f"if(countIf({wanted}) > 0, concat({opening}, {latest}, {literals.text('}')}), '')"

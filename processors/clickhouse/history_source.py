"""Where events and persons' states of the past are read from: the one description that every statement is made with.

Statements read `events`, with the archive's columns (`clickhouse.events`). Where the history is in other tables, that
name is a step in front of the statement: it has the rows of the team in the parameter `team` that are sound, each
with the person to whom it belongs by now. `person_properties` is there then too, a snapshot of the person's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cohort_store.clickhouse.client import database_of
from cohort_store.history_tables import ARCHIVE_TABLE, POSTHOG_TABLE, HistoryTables, PersonsTable
from cohort_store.person_updates import STATE_VERSION_MAX
from cohort_store.settings import Settings
from cohort_store.subjects import ID_BYTES_MAX
from processors.clickhouse.translation import literals
from processors.codecs.event import NAME_CHARACTERS_MAX, YEAR_2000_MS
from processors.codecs.posthog import NOBODY


class Table(NamedTuple):
    """A table by its database, so that no step of a statement is taken for it. Without a database: the connection's."""

    database: str
    name: str

    @property
    def sql(self) -> str:
        return f"`{self.database}`.`{self.name}`"

    @property
    def where(self) -> str:
        """Which rows of `system.columns` and `system.parts` are its own."""
        database = literals.text(self.database) if self.database else "currentDatabase()"
        return f"database = {database} AND table = {literals.text(self.name)}"


class Expression(NamedTuple):
    """A part of a mapping: the field of the settings, and a statement that shows whether ClickHouse takes it."""

    field: str
    sql: str
    probe: str


class HistorySource(NamedTuple):
    """The history. By default what the archive writes: then nothing is in front, and there are no states."""

    table: Table = Table("", ARCHIVE_TABLE)
    events: str = ""
    """The step `events`; empty: the table of that name."""
    states: str = ""
    """Persons' states, as `translation.sources` wants them; with them, events say nothing of persons."""
    mapping: tuple[Expression, ...] = ()

    @property
    def is_archive(self) -> bool:
        """Whether Muster's archive writes it."""
        return not self.events

    def statement(self, body: str, *steps: str) -> str:
        """A statement over `events`, with further steps."""
        found = ",\n".join([*([self.events] if self.events else []), *steps])
        return f"WITH {found}\n{body}" if found else body


ARCHIVE = HistorySource()


def source_of(settings: Settings) -> HistorySource:
    """What the settings describe; without a ClickHouse the archive's, which nobody can ask."""
    history = settings.history
    if history.layout == "muster" or not settings.clickhouse:
        return ARCHIVE
    database = database_of(settings.clickhouse)
    if history.layout == "mapped":
        return mapped_source(history, database)
    return posthog_source(history, database, tells_states=bool(settings.person_sources))


def mapped_source(history: HistoryTables, database: str, overrides: str = "") -> HistorySource:
    """A mapping's. `database` is that of tables without one.

    `overrides` selects `(muster_distinct_id, muster_owner)`: whose events of these distinct ids are, whatever they say.
    """
    table = _table(history.table, database)
    states = "" if history.persons is None else _states(history.persons, _table(history.persons.table, database))
    mapping = (*_expressions(history, table), *_persons_expressions(history.persons, database))
    return HistorySource(table, _events(history, table, overrides), states, mapping)


def posthog_source(history: HistoryTables, database: str, *, tells_states: bool) -> HistorySource:
    """PostHog's, of which all tables are in one database.

    Its persons' states count where a source tells of later ones: nothing that an event says could ever follow one.
    """
    table = _table(history.table or POSTHOG_TABLE, database)
    nobody = literals.texts(NOBODY)
    preset = HistoryTables(
        layout="mapped",
        table=f"{table.database}.{table.name}",
        team="team_id",
        event="event",
        person=f"if(toString(person_id) IN {nobody}, '', toString(person_id))",
        distinct_id="distinct_id",
        time="timestamp",
        uuid="uuid",
        properties="properties",
        person_properties="" if tells_states else history.person_properties or "person_properties",
        filter=history.filter,
        persons=PersonsTable(
            table=f"{table.database}.person",
            team="team_id",
            id="id",
            properties="properties",
            version="version",
            deleted="is_deleted != 0",
            created_at="created_at",
        )
        if tells_states
        else None,
    )
    overrides = _OVERRIDES.format(Table(table.database, "person_distinct_id_overrides").sql)
    return mapped_source(preset, database, overrides)


_OVERRIDES = """
        SELECT toString(distinct_id) AS muster_distinct_id, toString(argMax(person_id, version)) AS muster_owner
        FROM {}
        WHERE team_id = {{team:UInt32}}
        GROUP BY distinct_id
        HAVING argMax(is_deleted, version) = 0
    """


def _table(name: str, database: str) -> Table:
    first, dot, second = name.partition(".")
    return Table(first, second) if dot else Table(database, first)


# The expressions stand alone in a subquery, under names that no column has: ClickHouse would take a name in WHERE, or
# in another expression, for the expression that is called so.
def _events(history: HistoryTables, table: Table, overrides: str) -> str:
    person, joined = "muster_person", ""
    if overrides:
        person = "if(muster_owner != '', muster_owner, muster_person)"
        joined = f" LEFT JOIN ({overrides}) AS overrides USING (muster_distinct_id)"
    return f"""events AS (
    SELECT
        {{team:UInt32}} AS team_id,
        muster_event AS event,
        muster_uuid AS uuid,
        muster_distinct_id AS distinct_id,
        {person} AS person_id,
        muster_time AS timestamp,
        if(muster_properties = '', '{{}}', muster_properties) AS properties,
        muster_person_properties AS person_properties
    FROM (
        SELECT
            {_text(history.event)} AS muster_event,
            {_text(history.uuid)} AS muster_uuid,
            {_text(history.distinct_id)} AS muster_distinct_id,
            {_text(history.person)} AS muster_person,
            {_time(history.time)} AS muster_time,
            {_text(history.properties)} AS muster_properties,
            {_text(history.person_properties or "''")} AS muster_person_properties
        FROM {table.sql}
        WHERE ({history.team}) = {{team:UInt32}} AND ({history.filter})
    ) AS mapped{joined}
    WHERE {_SOUND}
)"""  # noqa: S608 - an operator's own expressions, and parts of ours


def _states(persons: PersonsTable, table: Table) -> str:
    created = f"replaceOne(toString({_time(persons.created_at)}), ' ', 'T') || 'Z'" if persons.created_at else "''"
    return f"""
    SELECT
        muster_id AS person_id,
        muster_version AS state_version,
        muster_deleted AS is_deleted,
        multiIf(is_deleted, '{{}}', muster_properties = '', '{{}}', muster_properties) AS state,
        if(is_deleted, '', muster_created) AS created
    FROM (
        SELECT
            {_text(persons.id)} AS muster_id,
            ifNull(toInt64({persons.version}), -1) AS muster_version,
            ifNull(toBool({persons.deleted}), false) AS muster_deleted,
            {_text(persons.properties)} AS muster_properties,
            {created} AS muster_created
        FROM {table.sql}
        WHERE ({persons.team}) = {{team:UInt32}} AND ({persons.filter})
    ) AS mapped
    WHERE muster_id != '' AND {_fits("muster_id")}
        AND muster_version BETWEEN 0 AND {STATE_VERSION_MAX}
        AND isValidJSON(state) AND JSONType(state) = 'Object'
"""  # noqa: S608 - an operator's own expressions, and parts of ours


def _text(expression: str) -> str:
    return f"ifNull(toString({expression}), '')"


def _time(expression: str) -> str:
    """NULL becomes 1970, which is before any event."""
    return f"assumeNotNull(toDateTime64(({expression}), 3, 'UTC'))"


def _fits(name: str) -> str:
    return f"length({name}) <= {ID_BYTES_MAX} AND position({name}, '\\0') = 0"


# What a codec refuses, but for times ahead of an arrival that nobody noted.
_SOUND = " AND ".join(
    [
        f"muster_event != '' AND lengthUTF8(muster_event) <= {NAME_CHARACTERS_MAX}",
        f"muster_time >= fromUnixTimestamp64Milli({YEAR_2000_MS}, 'UTC')",
        "(muster_person != '' OR muster_distinct_id != '')",
        _fits("muster_person"),
        _fits("muster_distinct_id"),
    ]
)


def _expressions(history: HistoryTables, table: Table) -> Iterator[Expression]:
    yield Expression("table", history.table, f"SELECT 1 FROM {table.sql} LIMIT 0")  # noqa: S608 - ours
    for field in ("event", "person", "distinct_id", "uuid", "properties", "person_properties"):
        expression = getattr(history, field)
        if expression:
            yield Expression(field, expression, _probe(_text(expression), table))
    yield Expression("time", history.time, _probe(f"({history.time})", table))
    yield Expression("team", history.team, _probe(f"({history.team}) = toUInt32(1)", table))
    yield Expression("filter", history.filter, _probe("1", table, f"({history.filter})"))


def _persons_expressions(persons: PersonsTable | None, database: str) -> Iterator[Expression]:
    if persons is None:
        return
    table = _table(persons.table, database)
    yield Expression("persons.table", persons.table, f"SELECT 1 FROM {table.sql} LIMIT 0")  # noqa: S608 - ours
    read = {
        "id": _text(persons.id),
        "properties": _text(persons.properties),
        "version": f"toInt64({persons.version})",
        "deleted": f"toBool({persons.deleted})",
        "team": f"({persons.team}) = toUInt32(1)",
    } | ({"created_at": f"({persons.created_at})"} if persons.created_at else {})
    for field, sql in read.items():
        yield Expression(f"persons.{field}", getattr(persons, field), _probe(sql, table))
    yield Expression("persons.filter", persons.filter, _probe("1", table, f"({persons.filter})"))


def _probe(selected: str, table: Table, condition: str = "true") -> str:
    return f"SELECT {selected} FROM {table.sql} WHERE {condition} LIMIT 0"  # noqa: S608 - an operator's own expressions

"""Which ClickHouse tables hold the history: the setting `history`, a table `[history]` in TOML, JSON in MUSTER_HISTORY.

An expression is ClickHouse's SQL over the columns of its table. It is an operator's, and trusted as such: what is
checked here is that it stays one expression.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cohort_store.durations import parse_duration_ms

ARCHIVE_TABLE = "events"
CHANGES_TABLE = "membership_changes"
"""Where control writes every change of membership; no setting."""
POSTHOG_TABLE = "events"
EXPRESSION_CHARACTERS_MAX = 2_000
Schema = Literal["muster", "posthog", "mapped"]

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)?")
_REFUSED = re.compile(r";|--|/\*|#|\0|\{\s*\w+\s*:")
"""An end of the statement, a comment, a parameter: what would not stay between the brackets."""
_LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"[^\"]*\"|`[^`]*`")
"""A text or a quoted name."""


def _a_table(text: str) -> str:
    if text and _TABLE.fullmatch(text) is None:
        raise ValueError("no name of a table; write table or database.table, in letters, digits, _ and -")
    return text


def _an_expression(text: str) -> str:
    if len(text) > EXPRESSION_CHARACTERS_MAX:
        raise ValueError(f"an expression of {len(text)} characters; at most {EXPRESSION_CHARACTERS_MAX}")
    found = _REFUSED.search(text)
    if found:
        raise ValueError(f"an expression with {found[0]!r} in it; write one expression of SQL, with no comment")
    if not _is_whole(_LITERAL.sub("", text)):
        raise ValueError("an expression with a bracket or a quote too many, or one too few; mend it")
    return text.strip()


def _is_whole(code: str) -> bool:
    """Whether every bracket that opens is closed; of SQL without its literals."""
    depth = 0
    for each in code:
        depth += (each == "(") - (each == ")")
        if depth < 0 or each in "'\"`":
            return False
    return depth == 0


def _a_full_expression(text: str) -> str:
    if not text.strip():
        raise ValueError("an empty expression; write SQL over the table's columns, or leave the field out")
    return _an_expression(text)


def _a_duration(text: str) -> str:
    parse_duration_ms(text)
    return text


_Table = Annotated[str, AfterValidator(_a_table)]
_Optional = Annotated[str, AfterValidator(_an_expression)]
_Expression = Annotated[str, AfterValidator(_a_full_expression)]
_MAPPED = ("team", "event", "person", "distinct_id", "time", "uuid", "properties")
"""What of events only an own table maps, and must."""


class PersonsTable(BaseModel):
    """States of persons, as a source with the codec `posthog_person` tells them: several rows a person may be there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: _Table = Field(min_length=1, description="table or database.table.")
    team: _Expression = Field(description="The number of the person's team.")
    id: _Expression = Field(description="The person's id, as events name it.")
    properties: _Expression = Field(description="All her properties: a JSON object's text.")
    version: _Expression = Field(description="A number that rises with each change of her, the one that the topic has.")
    deleted: _Expression = Field("false", description="Whether that version of her is that she is gone.")
    created_at: _Optional = Field("", description="A DateTime that becomes the property created_at; empty: none does.")
    filter: _Expression = Field("true", description="Which rows count.")


class HistoryTables(BaseModel):
    """Frozen. What a schema does not know is refused, with the field."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True)

    layout: Schema = Field(
        "muster",
        alias="schema",
        description="muster: what muster archive writes; posthog: PostHog's tables; mapped: an own table.",
    )
    table: _Table = Field("", description="table or database.table of the events; of posthog, by default, events.")
    team: _Optional = Field("", description="The number of the event's team (1, where there is but one).")
    event: _Optional = Field("", description="The event's name.")
    person: _Optional = Field("", description="The person's id; empty or NULL where the event names nobody.")
    distinct_id: _Optional = Field("", description="The distinct id; empty or NULL where the event has none.")
    time: _Optional = Field("", description="When it happened: a DateTime or DateTime64.")
    uuid: _Optional = Field("", description="What tells the event from others: the uuid that the live event has.")
    properties: _Optional = Field("", description="A JSON object's text.")
    person_properties: _Optional = Field(
        "", description="A snapshot of the person's properties, a JSON object's text; empty: none."
    )
    filter: _Expression = Field("true", description="Which rows count.")
    settle: Annotated[str, AfterValidator(_a_duration)] = Field(
        "30m", description="How long an event may take into a table that has no columns _topic, _partition, _offset."
    )
    persons: PersonsTable | None = Field(None, description="Own states of persons; none by default.")

    @model_validator(mode="after")
    def _as_the_schema_knows(self) -> HistoryTables:
        given = {name for name in (*_MAPPED, "table", "person_properties") if getattr(self, name)}
        given |= {
            name for name in ("filter", "persons") if getattr(self, name) != type(self).model_fields[name].default
        }
        known = {"muster": set[str](), "posthog": {"table", "filter", "person_properties"}}.get(self.layout, given)
        if given - known:
            names = ", ".join(sorted(given - known))
            raise ValueError(f"schema {self.layout} takes no {names}; leave that out, or write schema = mapped")
        lacking = [name for name in ("table", *_MAPPED) if self.layout == "mapped" and not getattr(self, name)]
        if lacking:
            raise ValueError(f"schema mapped needs {', '.join(lacking)} too; write an expression for each")
        return self

    @property
    def settle_ms(self) -> int:
        """`settle` in milliseconds."""
        return parse_duration_ms(self.settle)

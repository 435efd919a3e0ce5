"""`muster flag`: why a flag answers what it does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from cohort_store.durations import format_instant
from processors.cli.evaluator_requests import ask
from processors.cli.file_options import instant_of
from processors.cli.flag_explanation import lines_of
from processors.cli.invocation import Json, invocation, run_async
from processors.cli.invocation import subject_id as checked_id

_HELP = """Say why the flag KEY answers what it does for PERSON: each condition set, what its tests found, and the hash.

PERSON is the distinct id that code asks with: hashes are of that id, memberships and the rest of the person whom it
stands for. A running evaluator is asked. What if she were in another cohort, or had other properties: say so. At an
instant in the past memberships are those that ClickHouse was told of, and properties those given.

\b
Examples:
  muster flag vip-checkout user_0580
  muster flag vip-checkout user_0580 --property plan=pro --in regulars
  muster flag vip-checkout user_0580 --at "$(date -Is -d yesterday)" --json
"""


def register(app: typer.Typer) -> None:
    app.command("flag", help=_HELP)(flag)


def flag(  # noqa: PLR0913 - a command has an argument for each option
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The flag's key.")],
    person: Annotated[str, typer.Argument(metavar="PERSON", help="A distinct id, or a person's id.")],
    at: Annotated[str | None, typer.Option(metavar="INSTANT", help="Another instant, ISO 8601; UTC if naive.")] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="NAME=VALUE", help="A property of hers; several times. JSON, else a text."),
    ] = None,
    inside: Annotated[
        list[str] | None, typer.Option("--in", metavar="COHORT", help="What if she were in it; several times.")
    ] = None,
    outside: Annotated[
        list[str] | None, typer.Option("--not-in", metavar="COHORT", help="What if she were not in it; several times.")
    ] = None,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    both = set(inside or ()) & set(outside or ())
    if both:
        raise typer.BadParameter(f"{min(both)} is given to --in and to --not-in; leave one out", param_hint="--in")
    body: dict[str, Any] = {
        "distinct_id": checked_id(person),
        "flag_keys_to_evaluate": [key],
        "person_properties": dict(map(_property, properties or ())),
        "memberships": {**dict.fromkeys(inside or (), True), **dict.fromkeys(outside or (), False)},
    }
    if at is not None:
        body["at"] = format_instant(instant_of(at, "--at"))
    found = run_async(ask(shared.settings(), "/flags/explain", body))
    shared.answer(found, lambda console: _show(console, found, key, body["memberships"]))


def _property(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise typer.BadParameter(f"{text[:80]!r} is none; write NAME=VALUE", param_hint="--property")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _show(console: Console, found: dict[str, Any], key: str, given: Iterable[str]) -> None:
    for line in lines_of(found, key):
        console.print(line, markup=False)
    asked = found.get("cohorts", {}).values()
    for cohort in given:
        if not any(cohort in (each["key"], str(each["id"])) for each in asked):
            console.print(f"The flag does not ask cohort {cohort}.", markup=False)

"""`muster who` and `muster person`: the roll from its two sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cohort_store.clocks import clock_from
from cohort_store.durations import UNITS_MS, format_duration, format_instant
from cohort_store.errors import Retry
from cohort_store.settings import Settings
from cohort_store.wording import readable
from processors.cli.file_options import instant_of
from processors.cli.invocation import TEAM_DEFAULT, Failed, Json, Team, invocation, run_async
from processors.cli.invocation import subject_id as checked_id
from processors.cli.past import opened_history

if TYPE_CHECKING:
    from cohort_store.freshness import CohortView
    from cohort_store.ports import Membership
    from cohort_store.registry import TeamRegistry

LIMIT_DEFAULT = 20

_WHO_HELP = """List who is in COHORT (its key or id), in no stated order.

A cohort that holds for people who never did anything is kept by its exceptions; then the exceptions are listed, and
the answer says so. With --at, who was in it then, by the changes of membership that are written down in ClickHouse.

\b
Examples:
  muster who regulars
  muster who regulars --limit 1000 --json
  muster who regulars --at "$(date -Is -d yesterday)"
"""
_PERSON_HELP = """Show one person: which cohorts she is in, as of when, and everything that is stored of her.

ID is a person's id, or a distinct id that a person is known by.

\b
Examples:
  muster person user_0443
  muster person user_0443 --json
"""


def register(app: typer.Typer) -> None:
    app.command("who", help=_WHO_HELP)(who)
    app.command("person", help=_PERSON_HELP)(person)


def who(
    context: typer.Context,
    cohort: Annotated[str, typer.Argument(metavar="COHORT", help="Key or id.")],
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many at most; 0: only how many there are.")
    ] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, typer.Option(metavar="TEXT", help="Go on where an earlier answer ended.")] = None,
    at: Annotated[str | None, typer.Option(metavar="INSTANT", help="In the past, ISO 8601; UTC if naive.")] = None,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    if at is not None:
        if cursor is not None:
            raise typer.BadParameter("the past is told in one answer: raise --limit instead", param_hint="--cursor")
        then = run_async(_who_then(shared.settings(), (team, cohort), limit, instant_of(at, "--at")))
        shared.answer(then, lambda console: _show_who_then(console, then))
        return
    found = run_async(_who(shared.settings(), (team, cohort), limit, cursor))
    shared.answer(found, lambda console: _show_who(console, found))


async def _who_then(settings: Settings, wanted: tuple[int, str], limit: int, at_ms: int) -> dict[str, Any]:
    from processors.cli.roll import opened_roll

    async with opened_roll(settings) as roll:
        cohort, version = roll.cohort(*wanted)
    now_ms = clock_from(settings.clock).now_ms()
    if at_ms > now_ms:
        raise Failed(f"{format_instant(at_ms)} is still to come; it is {format_instant(now_ms)}")
    async with opened_history(settings, wanted[0]) as (past, begins_ms):
        if at_ms < begins_ms:
            raise Failed(f"nothing is known of {format_instant(at_ms)}: changes begin at {format_instant(begins_ms)}")
        found = await past.told(cohort.id, at_ms, complemented=version.complemented, limit=limit)
    return {
        "cohort": cohort.key,
        "id": cohort.id,
        "complemented": version.complemented,
        "at": format_instant(at_ms),
        "known_from": format_instant(begins_ms),
        "stored": found.total,
        "ids": found.persons,
    }


def _show_who_then(console: Console, found: dict[str, Any]) -> None:
    said = "were all but" if found["complemented"] else "were"
    console.print(f"In {found['cohort']} {said} {found['stored']:,}, as of {found['at']}:", markup=False)
    for each in found["ids"]:
        console.print(f"  {each}", markup=False)
    if len(found["ids"]) < found["stored"]:
        console.print("  ... more with a higher --limit")


async def _who(settings: Settings, wanted: tuple[int, str], limit: int, cursor: str | None) -> dict[str, Any]:
    from cohort_store.ports import PAGE_MAX
    from processors.cli.roll import opened_roll

    async with opened_roll(settings) as roll:
        cohort, version = roll.cohort(*wanted)
        stored, unknown = await roll.reader.sizes([version.handle, -version.handle])
        ids: list[str] = []
        while cohort.listed and len(ids) < limit:
            try:
                page = await roll.reader.members(version.handle, cursor, min(limit - len(ids), PAGE_MAX))
            except ValueError:
                raise Failed(f"{cursor!r} is the cursor of no page; use the one that ended an answer") from None
            ids += page.ids
            cursor = page.cursor
            if cursor is None:
                break
        positions = await roll.reader.positions(range(settings.shards))
    known = await _known(settings, wanted[0]) if version.complemented else None
    return {
        "cohort": cohort.key,
        "id": cohort.id,
        "version": version.number,
        "complemented": version.complemented,
        "listed": cohort.listed,
        "stored": stored,
        "unknown": unknown,
        "known_persons": known,
        "now": format_instant(min((each.now_ms for each in positions.values()), default=0)),
        "shards_ready": sum(each.ready >= version.registry_version for each in positions.values()),
        "shards": settings.shards,
        "ids": ids,
        "cursor": cursor,
    }


async def _known(settings: Settings, team: int) -> int | None:
    """How many persons there are, for the size of a cohort that is kept by its exceptions; None where nobody knows."""
    from processors.clickhouse.history_source import source_of
    from processors.clickhouse.persons import count_persons

    if not settings.clickhouse:
        return None
    try:
        return await count_persons(settings.clickhouse, team, source_of(settings))
    except Retry:
        return None


def _show_who(console: Console, found: dict[str, Any]) -> None:
    said = "are all but" if found["complemented"] else "are"
    as_of = found["now"][:19].replace("T", " ")
    console.print(
        f"In {found['cohort']} (version {found['version']}) {said} {found['stored']:,}, as of {as_of}:", markup=False
    )
    if found["shards_ready"] < found["shards"]:
        console.print(
            f"Only {found['shards_ready']} of {found['shards']} shards can answer for it yet.", style="yellow"
        )
    if found["known_persons"] is not None:
        members = max(0, found["known_persons"] - found["stored"] - found["unknown"])
        console.print(f"That makes {members:,} of the {found['known_persons']:,} persons known so far.")
    if found["unknown"]:
        console.print(f"Of {found['unknown']:,} more nothing can be said: they have more events than are kept of them.")
    if found["complemented"]:
        console.print(
            "(It holds for people who never did anything too, so what is kept and listed here is who is not in it.)"
        )
    if not found["listed"]:
        console.print("(It keeps no list: listed is false in its definition.)")
    for each in found["ids"]:
        console.print(f"  {each}", markup=False)
    if found["cursor"] is not None and found["ids"]:
        console.print(f"  ... more with --cursor '{found['cursor']}', or with a higher --limit", markup=False)


def person(
    context: typer.Context,
    subject_id: Annotated[str, typer.Argument(metavar="ID", help="A person's id, or a distinct id.")],
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    found = run_async(_person(shared.settings(), team, checked_id(subject_id)))
    shared.answer(found, lambda console: _show_person(console, found))


async def _person(settings: Settings, team: int, subject_id: str) -> dict[str, Any]:
    from cohort_store.freshness import view_of
    from cohort_store.subjects import shard_of
    from processors.cli.roll import opened_roll

    async with opened_roll(settings) as roll:
        subject, by_distinct_id = await roll.subject(team, subject_id)
        (membership,) = await roll.reader.memberships([subject])
        (record,) = await roll.reader.records([subject])
        of_team = roll.registry.team(team)
        now = clock_from(settings.clock).now_ms()
        return {
            "person": subject.id,
            "distinct_id": subject_id if by_distinct_id else None,
            "team": team,
            "known": record is not None,
            "shard": shard_of(subject, settings.shards),
            **_quality(membership, now),
            "cohorts": [
                _standing(view_of(cohort, roll.registry.version), membership, settings.max_hold_ms, now)
                for cohort in of_team.cohorts
            ],
            "record": None if record is None else _record(record, of_team),
        }


def _quality(membership: Membership, clock_ms: int) -> dict[str, Any]:
    """How good the answer is: as of when it holds, and how far that is behind the clock."""
    if membership.ready is None:
        return {"registry_version": None, "now": None, "data_age_ms": None, "stale": None}
    return {
        "registry_version": membership.ready,
        "now": format_instant(membership.now_ms),
        "data_age_ms": max(0, clock_ms - membership.now_ms),
        "stale": membership.stale,
    }


def _standing(cohort: CohortView, membership: Membership, stale_after_ms: int, now: int) -> dict[str, Any]:
    from cohort_store.freshness import member_of, status_of

    return {
        "cohort": cohort.key,
        "id": cohort.id,
        "version": cohort.number,
        "member": member_of(cohort, membership),
        "status": status_of(cohort, membership, stale_after_ms, now).value,
    }


def _record(raw: bytes, of_team: TeamRegistry) -> dict[str, Any]:
    """The stored record, its timelines by what they record."""
    from cohort_store.records import decode_record, json_ready

    selectors = {str(handle): text for text, handle in of_team.selectors.items()}
    plain = json_ready(decode_record(raw))
    timelines = [
        {
            "selector": readable(selectors[handle]) if handle in selectors else f"selector {handle}",
            "times": [format_instant(entry[0]) for entry in line],
            "inexact_until": format_instant(plain["inexact"][handle]) if handle in plain["inexact"] else None,
        }
        for handle, line in plain["timelines"].items()
    ]
    forgotten = plain["forgotten"] and {name: format_instant(at_ms) for name, at_ms in plain["forgotten"].items()}
    return {"bytes": len(raw), "timelines": timelines, "registers": plain["registers"], "forgotten": forgotten}


def _show_person(console: Console, found: dict[str, Any]) -> None:
    named = f" (distinct id {found['distinct_id']})" if found["distinct_id"] else ""
    console.print(f"{found['person']}{named}, team {found['team']}, shard {found['shard']}", markup=False)
    if found["now"] is None:
        console.print("Her shard has no owner yet, so nothing can be said: see muster doctor")
        return
    age = format_duration(found["data_age_ms"] // UNITS_MS["s"] * UNITS_MS["s"])
    stale = ", stale: a source gives no sign of life" if found["stale"] else ""
    console.print(f"as of {found['now']} ({age} ago{stale})\n".replace("(0ms ago", "(just now"))
    _show_standings(console, found["cohorts"])
    record = found["record"]
    if record is None:
        console.print("\nNothing is stored of her, which means the same as never seen.")
        return
    console.print(f"\n{record['bytes']} bytes are stored of her:")
    if record["forgotten"]:
        at, until = record["forgotten"]["at"], record["forgotten"]["until"]
        console.print(f"  she was forgotten at {at}; what is from before stays away until {until}")
    for line in record["timelines"]:
        times = line["times"]
        cut = f"; some up to {line['inexact_until']} are not kept" if line["inexact_until"] else ""
        console.print(f"  {len(times)} x {line['selector']}, last {times[-1]}{cut}", markup=False)
    for name, register in record["registers"].items():
        console.print(f"  {name} = {register['value']}", markup=False)


def _show_standings(console: Console, standings: list[dict[str, Any]]) -> None:
    words = {True: "in", False: "-", None: "not known yet"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cohort", "version", "member", "status"):
        table.add_column(title)
    for each in standings:
        table.add_row(each["cohort"], str(each["version"]), words[each["member"]], each["status"])
    console.print(table)

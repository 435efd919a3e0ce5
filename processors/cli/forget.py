"""`muster forget`: erase a person everywhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from cohort_store.clocks import clock_from
from cohort_store.durations import UNITS_MS, format_instant
from cohort_store.settings import Settings
from processors.access.audit import Act, pseudonym
from processors.cli.audited import audited
from processors.cli.invocation import TEAM_DEFAULT, Failed, Json, Team, invocation, run_async
from processors.cli.invocation import subject_id as checked_id

if TYPE_CHECKING:
    from cohort_store.subjects import Subject
    from processors.cli.roll import Roll
    from processors.forgetting.erasing import Hers

NAMED_MAX = 10

_HELP = """Erase PERSON everywhere: her record, the members' lists, her distinct ids, and her rows in ClickHouse.

Consumers of changes are told that she left, with the cause erase. What comes of her later, from before this instant,
stays away: for MUSTER_FORGET_DAYS, which must be longer than Kafka's topics keep what they hold. What she does from now
on begins a new history. It asks first, and says what it erased and what it cannot reach.

\b
Examples:
  muster forget user_0443
  muster forget user_0443 --distinct-id device-1 --yes --json
"""


def register(app: typer.Typer) -> None:
    app.command("forget", help=_HELP)(forget)


def forget(
    context: typer.Context,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="A person's id, or a distinct id.")],
    distinct_ids: Annotated[
        list[str],
        typer.Option("--distinct-id", metavar="ID", help="One of hers that no archived event names; repeat for more."),
    ] = [],  # noqa: B006 - typer makes a new one
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here, and nothing brings her back: say --yes")
    settings, named = shared.settings(), [checked_id(each) for each in distinct_ids]
    found = run_async(_look_up(settings, (team, checked_id(person)), named))
    if not yes and not typer.confirm(_question(found), err=True):
        raise Failed("nothing was erased")
    person = pseudonym(found.person.team, found.person.id)
    with audited(shared, settings, Act.FORGET, found.person.team, person=person):
        done = run_async(_forget(settings, found))
    shared.answer(done, lambda console: _show(console, done))


async def _look_up(settings: Settings, whom: tuple[int, str], named: Sequence[str]) -> Hers:
    """Whom an id means, and her distinct ids."""
    from processors.cli.roll import opened_roll
    from processors.forgetting.erasing import hers
    from processors.forgetting.wiring import opened_parts

    async with opened_roll(settings) as roll, opened_parts(settings, roll.registry) as parts:
        subject, by_distinct_id = await roll.subject(*whom)
        return await hers(parts, subject, [*named, *([whom[1]] if by_distinct_id else [])])


async def _forget(settings: Settings, found: Hers) -> dict[str, Any]:
    """Erase her; what was erased, and what cannot be reached."""
    from cohort_store.deltas import Erasure
    from processors.cli.roll import opened_roll
    from processors.forgetting.erasing import erase
    from processors.forgetting.wiring import opened_parts

    subject = found.person
    async with opened_roll(settings) as roll, opened_parts(settings, roll.registry) as parts:
        (record,) = await roll.reader.records([subject])
        cohorts = await _cohorts_of(roll, subject)
        now_ms = clock_from(settings.clock).now_ms()
        erasure = Erasure(now_ms, now_ms + round(settings.forget_days * UNITS_MS["d"]))
        rows = await erase(parts, found, roll.registry.version, erasure)
        is_ours = parts.past is not None and await parts.past.is_there()
        listed = await _lists_with(settings, roll, subject)
    return {
        "person": subject.id,
        "team": subject.team,
        "distinct_ids": list(found.distinct_ids),
        "at": format_instant(erasure.at_ms),
        "kept_away_until": format_instant(erasure.until_ms),
        "record_bytes": len(record or b""),
        "left": cohorts,
        "rows": msgspec.to_builtins(rows),
        "not_reached": _not_reached(settings, listed, is_ours=is_ours),
    }


def _question(found: Hers) -> str:
    ids = f" with {len(found.distinct_ids)} distinct ids ({_some(found.distinct_ids)})" if found.distinct_ids else ""
    return f"Erase {found.person.id} of team {found.person.team}{ids} for good?"


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:NAMED_MAX]) + (", ..." if len(texts) > NAMED_MAX else "")


async def _cohorts_of(roll: Roll, subject: Subject) -> list[str]:
    """The keys of the cohorts that she is in."""
    from cohort_store.freshness import member_of, view_of

    (membership,) = await roll.reader.memberships([subject])
    views = [view_of(cohort, roll.registry.version) for cohort in roll.registry.team(subject.team).cohorts]
    return [view.key for view in views if member_of(view, membership)]


async def _lists_with(settings: Settings, roll: Roll, subject: Subject) -> list[str]:
    """The keys of the cohorts whose definition names her among its members."""
    from cohort_store.definition_files import Name
    from cohort_store.redis.wiring import connect_mirror
    from cohort_store.static_lists import lists_in
    from processors.definition_changes import lists_of

    mirror = connect_mirror(settings)
    try:
        lists = lists_of({Name.parse(name): part for name, part in (await mirror.lists()).items()}, subject.team)
    finally:
        await mirror.aclose()
    naming = {digest for digest, members in lists.items() if subject.id in members}
    cohorts = roll.registry.team(subject.team).cohorts
    return [each.key for each in cohorts if not naming.isdisjoint(lists_in(each.versions[-1].when))]


def _not_reached(settings: Settings, listed: Sequence[str], *, is_ours: bool) -> list[str]:
    sentences = [
        "Kafka's topics hold her events and changes until their retention ends, and dead letters and logs may name her",
    ]
    if not settings.clickhouse:
        sentences.append("no ClickHouse is set (MUSTER_CLICKHOUSE): distinct ids of hers were not looked for")
    elif not is_ours:
        sentences.append("ClickHouse holds no table of events that Muster's archive made: erase her from your own")
    if listed:
        sentences.append(f"a list of members names her in {', '.join(listed)}: apply it without her")
    return sentences


def _show(console: Console, done: dict[str, Any]) -> None:
    rows = done["rows"]
    left = f"; she left {', '.join(done['left'])}" if done["left"] else ""
    ids = f" Distinct ids that are nobody's now: {_some(done['distinct_ids'])}." if done["distinct_ids"] else ""
    console.print(
        f"{done['person']} of team {done['team']} is forgotten as of {done['at']}: {done['record_bytes']} bytes of "
        f"record{left}.{ids}",
        markup=False,
    )
    console.print(
        f"In ClickHouse {rows['events']:,} rows of events and {rows['membership_changes']:,} of membership changes are "
        f"erased, and her name in {rows['drift']:,} of drift."
    )
    console.print(f"What comes again of before stays away until {done['kept_away_until']}; so long her ids are kept.")
    for sentence in done["not_reached"]:
        console.print(f"Not reached: {sentence}.", markup=False)

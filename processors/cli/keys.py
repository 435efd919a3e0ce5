"""`muster keys`: who may ask the evaluator for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cohort_store.access_keys import PUBLIC_RIGHTS, AccessKey, KeyState, Right
from cohort_store.clocks import clock_from
from cohort_store.durations import UNITS_MS, format_instant, parse_duration_ms
from processors.access.audit import Act
from processors.cli.audited import audited
from processors.cli.file_options import instant_of
from processors.cli.invocation import TEAM_DEFAULT, Invocation, Json, Team, invocation, run_async, warn

if TYPE_CHECKING:
    from processors.access.issuing import Issued
    from processors.access.key_log import Changed

OVERLAP_DEFAULT = "1d"
OVERLAP_MS_MAX = 90 * UNITS_MS["d"]

_GROUP_HELP = """Keys: who may ask the evaluator for what.

The public tokens of MUSTER_TOKENS evaluate and capture, and read nothing. Whatever else is asked needs a secret key
with the right for it, sent as `Authorization: Bearer <key>`. Only a digest of a key is kept: it is shown when it is
made, and never again. `muster up` keeps one with every right in the file secret-key of its folder.

\b
Examples:
  muster keys create dashboard --right read_definitions --right read_members
  muster keys list
"""
_CREATE_HELP = f"""Make a key with the rights that are named, and print it.

\b
Rights: {", ".join(Right)}.

A key that may only {" and ".join(sorted(PUBLIC_RIGHTS))} is public: it may stand in a page.

\b
Examples:
  muster keys create checkout-server --right read_definitions     for an SDK's local evaluation
  muster keys create support --right read_persons --right explain --expires 90d
  muster keys create shop-page --right evaluate --right capture
"""
_REVOKE_HELP = """Let a key count no more, at once and for good. KEY is its id, as `muster keys list` shows it.

It is kept for 30 days as a name, so that the evaluator's log can say who still uses it.
"""
_ROTATE_HELP = """Make a key in place of another, with its name and rights, and print it. KEY is the id of the old one.

The old one counts for the overlap, so that whoever has it can go over to the new one with no request refused.

\b
Examples:
  muster keys rotate 3f9a21c07e
  muster keys rotate 3f9a21c07e --overlap 2h
"""

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=_GROUP_HELP, no_args_is_help=True, rich_markup_mode=None)
    group.command("create", help=_CREATE_HELP)(create)
    group.command("list", help="Show the team's keys, those that count unless --all is said.")(list_keys)
    group.command("revoke", help=_REVOKE_HELP)(revoke)
    group.command("rotate", help=_ROTATE_HELP)(rotate)
    app.add_typer(group, name="keys")


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: a word for lists and logs.")],
    rights: Annotated[list[Right], typer.Option("--right", metavar="RIGHT", help="What it may do; repeat for more.")],
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="An instant, or a duration from now: 90d.")
    ] = None,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    from processors.access.issuing import Wanted, added, issue
    from processors.access.key_log import change_keys

    shared = invocation(context, as_json)
    settings = shared.settings()
    now_ms = clock_from(settings.clock).now_ms()
    wanted = Wanted(team, name, frozenset(rights), None if expires is None else _when(expires, now_ms))
    with audited(shared, settings, Act.CREATE_KEY, team, name=name, rights=sorted(wanted.rights)) as account:
        issued = issue(wanted, now_ms)
        account.about["key"] = issued.key.id
        _, changed = run_async(change_keys(settings, team, lambda keys: (added(keys, issued.key, now_ms), None)))
    _show_issued(shared, issued, changed, None)


def list_keys(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Those too that were revoked or ran out of late.")] = False,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    from processors.access.key_log import read_keys

    shared = invocation(context, as_json)
    settings = shared.settings()
    now_ms = clock_from(settings.clock).now_ms()
    found = sorted(run_async(read_keys(settings, team)).values(), key=lambda key: (key.created_ms, key.id))
    shown = [key for key in found if every or key.state_at(now_ms) is KeyState.ALIVE]
    plain = {"team": team, "keys": [_plain(key, now_ms) for key in shown]}
    shared.answer(plain, lambda console: _show_list(console, shown, now_ms))


def revoke(context: typer.Context, key: KeyId, team: Team = TEAM_DEFAULT, as_json: Json = False) -> None:
    from processors.access.issuing import revoked
    from processors.access.key_log import change_keys

    shared = invocation(context, as_json)
    settings = shared.settings()
    now_ms = clock_from(settings.clock).now_ms()
    with audited(shared, settings, Act.REVOKE_KEY, team, key=key):
        _, changed = run_async(change_keys(settings, team, lambda keys: (revoked(keys, key, now_ms), None)))
    _warn_unseen(shared, changed)
    plain = {"key": key, "team": team, "state": KeyState.REVOKED, "registry_version": changed.registry_version}
    shared.answer(plain, lambda console: console.print(f"{key} of team {team} counts no more.", markup=False))


def rotate(
    context: typer.Context,
    key: KeyId,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="DURATION", help="So long the old one still counts; 0s: not at all.")
    ] = OVERLAP_DEFAULT,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    from processors.access.issuing import rotated
    from processors.access.key_log import change_keys

    shared = invocation(context, as_json)
    settings = shared.settings()
    now_ms, overlap_ms = clock_from(settings.clock).now_ms(), _overlap_ms(overlap)
    with audited(shared, settings, Act.ROTATE_KEY, team, key=key, overlap=overlap) as account:
        issued, changed = run_async(change_keys(settings, team, lambda keys: rotated(keys, key, overlap_ms, now_ms)))
        account.about["successor"] = issued.key.id
    _show_issued(shared, issued, changed, f"{key} counts until {format_instant(now_ms + overlap_ms)} at the latest.")


def _show_issued(shared: Invocation, issued: Issued, changed: Changed, more: str | None) -> None:
    """The key alone on stdout, so that a script can take it; what a person should know of it on stderr."""
    key, text = issued
    _warn_unseen(shared, changed)
    if not shared.as_json:
        ends = "" if key.expires_ms is None else f" until {format_instant(key.expires_ms)}"
        said = f"Key {key.id} ({key.name}) of team {key.team} may {', '.join(key.rights)}{ends}. It is shown this once."
        for line in filter(None, (said, more)):
            shared.errors.print(line, markup=False, soft_wrap=True)
    plain = {"secret": text, **_plain(key, key.created_ms), "registry_version": changed.registry_version}
    shared.answer(plain, lambda console: console.print(text, markup=False, soft_wrap=True))


def _warn_unseen(shared: Invocation, changed: Changed) -> None:
    if not changed.is_visible:
        unseen = f"evaluators do not see version {changed.registry_version} yet: Redis does not have it"
        warn(shared, [f"{unseen}; control puts it there as soon as it can"])


def _plain(key: AccessKey, now_ms: int) -> dict[str, Any]:
    return {
        "key": key.id,
        "team": key.team,
        "name": key.name,
        "rights": list(key.rights),
        "state": key.state_at(now_ms),
        "created": format_instant(key.created_ms),
        "ends": None if (ends := key.ended_ms()) is None else format_instant(ends),
    }


def _show_list(console: Console, keys: list[AccessKey], now_ms: int) -> None:
    if not keys:
        console.print("No keys: muster keys create NAME --right RIGHT makes one.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("key", "name", "rights", "state", "created", "ends"):
        table.add_column(title, no_wrap=True)
    for key in keys:
        plain = _plain(key, now_ms)
        ends = (plain["ends"] or "-")[:16]
        table.add_row(key.id, key.name, ", ".join(key.rights), plain["state"], plain["created"][:16], ends)
    console.print(table, markup=False)


def _when(text: str, now_ms: int) -> int:
    """An instant, or a duration from now. Raises BadParameter."""
    try:
        return now_ms + parse_duration_ms(text)
    except ValueError:
        return instant_of(text, "--expires")


def _overlap_ms(text: str) -> int:
    """Raises BadParameter."""
    try:
        overlap_ms = 0 if text in ("0", "0s") else parse_duration_ms(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--overlap") from None
    if overlap_ms > OVERLAP_MS_MAX:
        raise typer.BadParameter(f"{text} is longer than 90d; revoke the old key by hand later", param_hint="--overlap")
    return overlap_ms

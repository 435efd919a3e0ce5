"""Files in PostHog's shape, told by that shape, and turned into plain cohorts and flags.

A file is one cohort, a list of them, a page of the API (`{results: [...]}`), or a bundle: `{cohorts: [...], actions:
[...], flags: [...], team: {timezone, test_account_filters}}`. Actions and the team may come in another file than the
cohorts that need them: `surroundings` gathers those of all files first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from cohort_store.definition_text import LocatedValue
from cohort_store.errors import BadDefinition
from cohort_store.findings import shown
from cohort_store.posthog.behaviors import Surroundings
from cohort_store.posthog.cohorts import Team, translate_cohort
from cohort_store.posthog.events import Action, translate_action
from cohort_store.posthog.places import Note, Place

_COHORT_SIGNS = ("filters", "groups", "is_static", "members", "query")
_BUNDLE_KEYS = ("cohorts", "actions", "flags", "team", "group_types", "group_type_mapping")
_PAGE_KEYS = ("count", "next", "previous", "results")
_TEAM_BOOKS = ("id", "uuid", "name", "project_id", "organization", "api_token", "timezone", "test_account_filters")


@dataclass(slots=True)
class Translated:
    """What one file defines: each definition with its path, and the notes on it."""

    cohorts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    flags: list[tuple[str, Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    team: int | None = None
    """The tenant that the file names."""


def is_posthog(value: Any) -> bool:
    """Whether a file's value has PostHog's shape. Flags alone may stand in a file of Muster's too."""
    if isinstance(value, list):
        return any(map(_is_signed, value))
    if not isinstance(value, Mapping):
        return False
    if "results" in value or "actions" in value or isinstance(value.get("team"), Mapping):
        return True
    cohorts = value.get("cohorts")
    if isinstance(cohorts, list):
        return any(_kind(item, "cohorts") is _Kind.COHORT for item in cohorts)
    return _is_alone(value)


class _Kind(StrEnum):
    COHORT = "cohort"
    FLAG = "flag"
    ACTION = "action"
    OURS = "a cohort in Muster's own form"
    NOTHING = "nothing that is known here"


def _kind(item: Any, under: str = "") -> _Kind:
    """What an item is, by its shape and by the key of the list in which it stands."""
    if under in ("actions", "flags"):
        return _Kind(under.removesuffix("s"))
    has = item if isinstance(item, Mapping) else {}
    if under == "cohorts":
        return _Kind.COHORT if has and "when" not in has and "key" not in has else _Kind.OURS
    if "steps" in has:
        return _Kind.ACTION
    if "when" in has:
        return _Kind.OURS
    if "key" in has:
        return _Kind.FLAG
    return _Kind.COHORT if any(sign in has for sign in _COHORT_SIGNS) else _Kind.NOTHING


def _is_alone(value: Mapping[str, Any]) -> bool:
    """Whether a file's value is one cohort or flag itself."""
    if any(key in value for key in (*_BUNDLE_KEYS[:3], "results")):
        return False
    return _kind(value) is not _Kind.ACTION and _is_signed(value)


def _is_signed(item: Any) -> bool:
    """Whether an item can be nobody's but PostHog's."""
    kind = _kind(item)
    return kind in (_Kind.COHORT, _Kind.ACTION) or (kind is _Kind.FLAG and "filters" in item)


def surroundings(files: Iterable[LocatedValue]) -> Team:
    """The actions and the team's settings of all files. Raises BadDefinition, with file and line."""
    actions: dict[str, Action] = {}
    zone: tzinfo = UTC
    test_accounts: tuple[Place, ...] | None = None
    for file in files:
        actions |= _actions(file)
        team = file.value.get("team") if isinstance(file.value, Mapping) else None
        if isinstance(team, Mapping):
            place = Place(team, file.where("team"), [])
            zone = _zone(place) if place.has("timezone") else zone
            if team.get("test_account_filters") is not None:
                test_accounts = tuple(place.children("test_account_filters"))
    return Team(Surroundings(actions, zone), test_accounts)


def _actions(file: LocatedValue) -> dict[str, Action]:
    """A file's actions by their ids as text."""
    try:
        items = list(_items(file.value))
    except BadDefinition as error:
        raise BadDefinition(file.where(error.path), error.problem) from None
    found = {}
    for kind, path, item in items:
        if kind is _Kind.ACTION and isinstance(item, Mapping):
            found[str(item.get("id"))] = translate_action(item, file.where(path))
    return found


def _zone(place: Place) -> tzinfo:
    name = place.get("timezone")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        place.refuse("timezone", f"{shown(name)} is no time zone; write one like Europe/Berlin")


def translate(value: Any, team: Team) -> Translated:
    """One file. Raises BadDefinition with the path of the first thing that cannot be taken along."""
    made = Translated()
    _check_keys(value, made)
    owner = value.get("team") if isinstance(value, Mapping) else None
    tenant = owner.get("id") if isinstance(owner, Mapping) else owner
    made.team = tenant if type(tenant) is int else None
    for kind, path, item in _items(value):
        if kind is _Kind.NOTHING:
            raise BadDefinition(path, f"{shown(item)} is no cohort, action or flag; leave it out")
        if kind is _Kind.FLAG:
            made.flags.append((path, _of_team(item, "team_id", tenant)))
        elif kind is _Kind.OURS:
            made.cohorts.append((path, _of_team(item, "team", tenant)))
        elif kind is _Kind.COHORT and item.get("deleted") is True:
            made.notes.append(Note(path, "left out: the cohort is marked deleted"))
        elif kind is _Kind.COHORT:
            cohort = translate_cohort(Place(item, path, made.notes), team)
            made.cohorts.append((path, _of_team(cohort, "team", tenant)))
    return made


def _of_team(raw: Any, key: str, tenant: Any) -> Any:
    return {key: tenant, **raw} if isinstance(raw, Mapping) and tenant is not None else raw


def _check_keys(value: Any, made: Translated) -> None:
    """Pages must be whole; of a bundle, what is not known is left out."""
    if not isinstance(value, Mapping) or _is_alone(value):
        return
    if value.get("next") is not None and "results" in value:
        raise BadDefinition("next", "this is one page of several; ask for all with a larger `limit`, and give that")
    place = Place(value, "", made.notes)
    if "results" in value:
        for key in value:
            if key not in _PAGE_KEYS:
                raise BadDefinition(key, f"this key is not known here; a page has {', '.join(_PAGE_KEYS)}")
        return
    place.leave_out(_BUNDLE_KEYS)
    if isinstance(value.get("team"), Mapping):
        place.child("team").leave_out(_TEAM_BOOKS)


def _items(value: Any) -> Iterator[tuple[_Kind, str, Any]]:
    """Everything that a file lists, with its kind and its path."""
    if isinstance(value, list):
        yield from _listed("", value)
    elif isinstance(value, Mapping) and _is_alone(value):
        yield _kind(value), "", value
    elif isinstance(value, Mapping):
        for key in ("results", "cohorts", "actions", "flags"):
            found = value.get(key)
            if found is not None and not isinstance(found, list):
                raise BadDefinition(key, f"{shown(found)} where a list is wanted; write `{key}: [...]`")
            yield from _listed(key, found or [])


def _listed(key: str, items: Sequence[Any]) -> Iterator[tuple[_Kind, str, Any]]:
    return ((_kind(item, key), f"{key}[{index}]", item) for index, item in enumerate(items))

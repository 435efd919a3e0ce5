"""Which events a leaf means, a name or an action with its steps: as `event`, `where` and `any_of` of a condition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cohort_store.conditions.condition import ANY_EVENT
from cohort_store.errors import BadDefinition
from cohort_store.posthog.places import Note, Place
from cohort_store.posthog.properties import event_tests

URL_PROPERTY = "$current_url"

Alternative = dict[str, Any]
"""`{event, where?}`."""

_STEP_KEYS = ("id", "event", "name", "properties", "url", "url_matching")
_STEP_BOOKS = ("isNew", "action_id", "text_matching", "href_matching", "tag_name_regex")
_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


@dataclass(frozen=True, slots=True)
class Action:
    """An action that came along. One that cannot be translated is a trouble only to the leaf that asks for it."""

    alternatives: tuple[Alternative, ...] = ()
    notes: tuple[Note, ...] = ()
    trouble: str = ""


def translate_action(raw: Mapping[str, Any], path: str) -> Action:
    """An action's steps: each is one alternative."""
    place = Place(raw, path, [])
    try:
        alternatives = tuple(_step(step) for step in place.children("steps"))
    except BadDefinition as error:
        return Action(trouble=str(error))
    trouble = "" if alternatives else f"{path}: it has no steps, so no event is one; add a step"
    return Action(alternatives, tuple(place.notes), trouble)


def _step(place: Place) -> Alternative:
    for key in place.raw:
        if key not in (*_STEP_KEYS, *_STEP_BOOKS) and place.has(key):
            place.refuse(key, "an event cannot be told by it here; use event, properties and url, and leave it out")
    tests = event_tests(place.children("properties"))
    url = place.get("url")
    if url:
        matching = place.one_of("url_matching", ("contains", "exact", "regex"), default="contains")
        tests.append(_url_test(place, url, matching))
    return _alternative(_event_name(place, "event"), tests)


def _url_test(place: Place, url: Any, matching: str) -> dict[str, Any]:
    if not isinstance(url, str):
        place.refuse("url", f"{str(url)[:40]!r} is no text; write one")
    if matching == "exact":
        return {"property": URL_PROPERTY, "op": "exact", "value": url}
    # `contains` minds the case in PostHog, and icontains does not: so it is a pattern of these very characters.
    pattern = url if matching == "regex" else _SPECIAL.sub(r"\\\1", url)
    return {"property": URL_PROPERTY, "op": "regex", "value": pattern}


def _alternative(event: str, tests: Sequence[dict[str, Any]]) -> Alternative:
    return {"event": event, "where": list(tests)} if tests else {"event": event}


def _event_name(place: Place, key: str) -> str:
    """An event's name; null means every event."""
    name = place.get(key)
    if name is None:
        return ANY_EVENT
    if not isinstance(name, str) or not name:
        place.refuse(key, f"{str(name)[:40]!r} is no event's name; write one, or null for every event")
    if name == ANY_EVENT:
        place.refuse(key, "an event named 'any' cannot be told from every event here; send it under another name")
    return name


def selection(
    place: Place, actions: Mapping[str, Action], keys: tuple[str, str], tests: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """`{event, where?}` or `{any_of}` of the leaf's event or action. `keys`: where its name and its type stand."""
    name_key, type_key = keys
    if name_key not in place.raw:
        place.refuse(name_key, "this is required; name an event or an action")
    if place.one_of(type_key, ("events", "actions"), default="events") == "events":
        return _alternative(_event_name(place, name_key), tests)
    action = _action(place, actions, name_key)
    joined = [_alternative(each["event"], [*each.get("where", ()), *tests]) for each in action.alternatives]
    return joined[0] if len(joined) == 1 else {"any_of": joined}


def _action(place: Place, actions: Mapping[str, Action], key: str) -> Action:
    name = str(place.get(key))
    action = actions.get(name)
    if action is None:
        place.refuse(key, f"action {name[:40]!r} did not come along; put it beside the cohorts, under actions")
    if action.trouble:
        place.refuse(key, f"action {name[:40]} cannot be taken along: {action.trouble}")
    place.notes.extend(note for note in action.notes if note not in place.notes)
    return action

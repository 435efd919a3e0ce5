"""What an SDK sends to ask for flags, and the person that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cohort_store.property_values import text_of
from cohort_store.subjects import ID_BYTES_MAX
from evaluator.deciding.condition_sets import Group
from evaluator.http.messages import invalid


class FlagsRequest(msgspec.Struct):
    """What an SDK sends. Fields that are not named here are ignored: `geoip_disable` is, since nobody is looked up by
    her address here."""

    distinct_id: str | int
    """A number is the text of its digits, as PostHog takes it."""
    token: str | None = None
    api_key: str | None = None
    """Another name for `token`."""
    person_properties: dict[str, Any] | None = None
    flag_keys_to_evaluate: list[str] | None = None
    """Only these flags; keys that no flag has are left out of the answer."""
    groups: dict[str, Any] | None = None
    """The groups that the person acts for: by the name of the group type, the group's key."""
    group_properties: dict[str, dict[str, Any] | None] | None = None
    """By the name of the group type."""
    device_id: str | None = None
    device: str | None = msgspec.field(default=None, name="$device_id")
    """Another name for `device_id`, which may also be a person property of this name."""
    anonymous: str | int | None = msgspec.field(default=None, name="$anon_distinct_id")
    """The id of the person's anonymous days, just before she was identified."""
    disable_flags: bool | None = None
    """True: no flag is answered."""


def token_of(body: FlagsRequest) -> tuple[str, str]:
    """The token, and the field that brought it."""
    if body.token:
        return body.token, "token"
    if body.api_key:
        return body.api_key, "api_key"
    raise invalid("token", "required", "token is required: the project's API token")


def checked_id(text: str, attr: str = "distinct_id") -> str:
    """An id that may be somebody's. Raises Problem."""
    if not text:
        raise invalid(attr, "required", f"{attr} is empty; send the id of the person who asks")
    if len(text) > ID_BYTES_MAX or len(text.encode()) > ID_BYTES_MAX:
        raise invalid(attr, "too_long", f"{attr} is longer than {ID_BYTES_MAX} bytes; send a shorter id")
    return text


def anonymous_of(body: FlagsRequest) -> str | None:
    """The id of the person's anonymous days; None where the request brings none. Raises Problem."""
    return None if body.anonymous in (None, "") else checked_id(str(body.anonymous), "$anon_distinct_id")


def device_of(body: FlagsRequest) -> str:
    """The device's id; empty where the request brings none."""
    if body.device_id or body.device:
        return body.device_id or body.device or ""
    told = (body.person_properties or {}).get("$device_id")
    return told if isinstance(told, str) else ""


def groups_of(body: FlagsRequest, types: Mapping[str, int]) -> dict[int, Group]:
    """The person's groups by the number of their type."""
    return groups_among(body.groups, body.group_properties, types) if body.groups else {}


def groups_among(
    groups: Mapping[str, Any] | None, told: Mapping[str, Mapping[str, Any] | None] | None, types: Mapping[str, int]
) -> dict[int, Group]:
    """Groups by the number of their type. A type that the team has not named, and no key, is no group."""
    found: dict[int, Group] = {}
    for name, index in types.items():
        key = (groups or {}).get(name)
        if isinstance(key, bool) or not isinstance(key, (str, int, float)) or key == "":
            continue
        text = text_of(key)
        properties = (told or {}).get(name) or {}
        found[index] = Group(text, {"$group_key": text, **properties})
    return found

"""Static lists: cohorts whose members are named one by one.

A list is known by its digest, and a member's record has a register of that name. So a list never changes: an edit is
another list, with other registers, under the cohort's next version; readers see the old one until every shard has
folded the new one, and then all at once. Nothing has to be taken back: a register that no condition names is dropped.

In a definition's stored form the digest stands in place of the members, which are kept beside it in chunks.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from cohort_store.conditions.static_list import DIGEST_CHARACTERS, register_of
from cohort_store.deltas import RegisterWrite
from cohort_store.errors import BadDefinition
from cohort_store.findings import shown
from cohort_store.subjects import ID_BYTES_MAX

MEMBERS_MAX = 200_000
CHUNK_BYTES_MAX = 500 * 1024
"""Of one message of the definitions' topic; the next id goes into the next one."""
STATIC_LIST = "static_list"
"""The kind of the condition that a list becomes."""


class TeamList(NamedTuple):
    """One team's list."""

    team: int
    digest: str


_encode = msgspec.json.Encoder().encode
_ids = msgspec.json.Decoder(list[str])


def checked_members(raw: Any, path: str) -> tuple[str, ...]:
    """The ids in order, each once. Raises BadDefinition, which names the first one that is none."""
    if not isinstance(raw, (list, tuple)):
        raise BadDefinition(path, f"{shown(raw)} is no list; write [...]")
    if len(raw) > MEMBERS_MAX:
        problem = f"{len(raw)} members; at most {MEMBERS_MAX}: split it, and join the parts with any of in_cohort"
        raise BadDefinition(path, problem)
    for index, member in enumerate(raw):
        problem = _trouble_with(member)
        if problem:
            raise BadDefinition(f"{path}[{index}]", problem)
    return tuple(sorted(set(raw)))


def _trouble_with(member: Any) -> str:
    if not isinstance(member, str):
        return f"{shown(member)} is no person's id; write a text, in quotes if need be"
    if not member or "\0" in member:
        return "an id is empty or holds a NUL; write the person's id"
    try:
        size = len(member.encode())
    except UnicodeEncodeError:
        return "not valid Unicode; remove the lone surrogate"
    return f"an id of {size} bytes; at most {ID_BYTES_MAX}: no event can have it" if size > ID_BYTES_MAX else ""


def tree_of(members: Sequence[str]) -> dict[str, Any]:
    """The tree of a cohort with these members."""
    return {"kind": STATIC_LIST, "list": digest_of(members), "count": len(members)}


def digest_of(members: Sequence[str]) -> str:
    """A short text by which a list is known: of the sha256 of its ids in order, as JSON."""
    digest = hashlib.sha256(_encode(members)).digest()
    return base64.urlsafe_b64encode(digest)[:DIGEST_CHARACTERS].decode()


def chunks_of(members: Sequence[str]) -> Iterator[bytes]:
    """The ids in JSON arrays of at most CHUNK_BYTES_MAX bytes each; at least one array."""
    chunk: list[str] = []
    size = 2
    for member in members:
        added = len(_encode(member)) + 1
        if size + added > CHUNK_BYTES_MAX:
            yield _encode(chunk)
            chunk, size = [], 2
        chunk.append(member)
        size += added
    yield _encode(chunk)


def members_of(chunks: Iterable[bytes]) -> tuple[str, ...]:
    """The inverse of `chunks_of`, whatever the chunks' order; msgspec.MsgspecError for what it did not make."""
    return tuple(sorted({member for chunk in chunks for member in _ids.decode(chunk)}))


def lists_in(when: Mapping[str, Any]) -> Iterator[str]:
    """The digests of the lists that a tree, as plain JSON, reads."""
    if when.get("kind") == STATIC_LIST:
        yield when["list"]
    children = [when["not"]] if "not" in when else when.get("all") or when.get("any") or ()
    for child in children:
        yield from lists_in(child)


def write_of(digest: str) -> RegisterWrite:
    """What makes whoever has it a member: the same at every sending."""
    return RegisterWrite(register_of(digest), 1, "true")

"""Lua scripts: loaded from beside this module, called by their hash, and sent whole where a server forgot them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

from cohort_store.redis.link import Argument, Call, Link, pack


class Script:
    """A script by its file's name."""

    def __init__(self, name: str) -> None:
        self.source = resources.files(__package__).joinpath(name).read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


class ScriptCall(NamedTuple):
    """The keys of one call (the first one routes it), and its arguments."""

    keys: tuple[bytes, ...]
    arguments: Sequence[Argument]

    def packed(self, command: bytes, script: bytes) -> Call:
        return Call(self.keys[0], pack(command, script, b"%d" % len(self.keys), *self.keys, *self.arguments))


async def run_script(link: Link, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
    """The calls' replies, in order, in one exchange; in two where a server has restarted."""
    replies = await link.run([call.packed(b"EVALSHA", script.sha) for call in calls])
    unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        again = await link.run([calls[index].packed(b"EVAL", script.source) for index in unknown])
        for index, reply in zip(unknown, again, strict=True):
            replies[index] = reply
    return replies

"""The cheap look: an event's name, without decoding the rest of the message.

The decoder of the whole message reads this one field here and skips the others, so both find the same name, however
a message is written; skipping costs a third of decoding. A message that is no JSON object, or whose name no event
may have, gives None: then the caller decodes it in full, and so learns what is wrong with it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from processors.codecs.event import NAME_CHARACTERS_MAX


class _Named(msgspec.Struct, gc=False):
    event: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]


_decode = msgspec.json.Decoder(_Named).decode


def peek_name(raw: bytes) -> str | None:
    """The event's name, or None where only a full decode can tell what the message is."""
    try:
        name = _decode(raw).event
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return None if "\0" in name else name

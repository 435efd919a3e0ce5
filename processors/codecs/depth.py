"""How deep a JSON text is nested, found without recursion.

Decoders recurse, and so can be made to fail by nesting alone; a text is held to DEPTH_MAX before one sees it.
"""

from __future__ import annotations

import re

DEPTH_MAX = 100

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string that is never closed reaches to the end: were it none, every later quote would begin another search."""
_BRACKETS = re.compile(rb"[\[\]{}]")
_OPENING = frozenset((b"[", b"{"))


def has_many_brackets(text: bytes) -> bool:
    """Whether it has enough brackets to be too deep, those in strings counted: cheap, and mostly false."""
    return text.count(b"{") + text.count(b"[") > DEPTH_MAX


def is_too_deep(text: bytes) -> bool:
    """Whether brackets are open DEPTH_MAX + 1 deep anywhere outside strings."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", text)):
        if bracket in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
            if deepest > DEPTH_MAX:
                return True
        else:
            depth -= 1
    return False

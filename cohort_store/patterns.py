"""Regular expressions by RE2, the engine that ClickHouse uses too: no pattern can take more than linear time.

`google-re2` is a pure library: it opens nothing, reads no clock, and answers from its arguments alone.

ClickHouse's `match` lets `.` match a line's end, and RE2 by itself does not: SQL must say `(?-s:…)` around the pattern.
"""

from __future__ import annotations

from collections.abc import Callable

import re2


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is found anywhere in a text. ValueError, with RE2's reason, for one that it refuses.

    Compiled once a pattern, whoever asks: RE2's own cache keeps them.
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(
            f"RE2 refuses the pattern {pattern[:60]!r}: {reason[:100]}; correct it (it has no look-around)"
        ) from None
    search = compiled.search
    return lambda text: search(text.encode(errors="replace")) is not None

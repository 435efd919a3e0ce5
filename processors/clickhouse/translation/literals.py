"""Values as SQL literals. Whatever people write reaches a statement through here, and through nowhere else."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cohort_store.errors import Crash

_ESCAPES = str.maketrans(
    {
        "\\": "\\\\",
        "'": "\\'",
        "\0": "\\0",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        # ClickHouse looks for no parameter inside a literal; a client that searches the whole text must find none too.
        "{": "\\x7B",
        "}": "\\x7D",
    }
)


def text(value: str) -> str:
    """A String literal that ClickHouse reads back as this text, and that ends where it ends."""
    return f"'{value.translate(_ESCAPES)}'"


def json_text(value: str) -> str:
    """A text as JSON; to be quoted once more."""
    return msgspec.json.encode(value).decode()


def texts(values: Iterable[str]) -> str:
    """A list to stand behind IN; each text once, sorted."""
    return f"({', '.join(text(value) for value in sorted(set(values)))})"


def integer(value: int) -> str:
    """An integer literal; a negative one in brackets, so that it may follow a minus."""
    return str(value) if value >= 0 else f"({value})"


def number(value: float) -> str:
    """A Float64 literal of exactly this number, which must be finite."""
    shown = repr(float(value))
    if shown.lstrip("-") in ("inf", "nan"):
        raise Crash(f"{shown} is no number that a definition can hold")
    return shown if value >= 0 else f"({shown})"

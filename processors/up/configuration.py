"""The file by which other commands find a running `muster up`: all settings, with the addresses of its parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cohort_store.settings import Settings
from processors.embedded.folder import is_held

CONFIGURATION_FILE = "muster.toml"


def write_configuration(folder: Path, settings: Settings) -> Path:
    """Write every setting into the folder's configuration file; returns its path."""
    path = folder / CONFIGURATION_FILE
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(_lines(settings.model_dump(mode="json"))) + "\n", encoding="utf-8")
    fresh.replace(path)
    return path


def live_configuration(folder: Path) -> Path | None:
    """The folder's configuration file, where a process that wrote it still runs; None otherwise."""
    path = folder / CONFIGURATION_FILE
    return path if path.is_file() and is_held(folder) else None


def environment_of(settings: Settings) -> dict[str, str]:
    """The same settings as environment variables, so that a child's differ from its parent's in nothing."""
    plain = settings.model_dump(mode="json")
    return {
        f"MUSTER_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in plain.items()
    }


def _lines(plain: Mapping[str, Any]) -> Iterator[str]:
    """TOML: plain values first, since a table ends only where the next one begins."""
    yield "# Written by `muster up`; commands in other terminals read it. It is written anew at every start."
    for name, value in plain.items():
        if not isinstance(value, Mapping):
            yield f"{name} = {_scalar(value)}"
    for name, value in plain.items():
        if isinstance(value, Mapping):
            yield f"\n[{name}]"
            yield from _pairs(value)


def _pairs(plain: Mapping[str, Any]) -> Iterator[str]:
    """TOML has no null: what is none is left out."""
    return (f"{_scalar(key)} = {_scalar(inner)}" for key, inner in plain.items() if inner is not None)


def _scalar(value: Any) -> str:
    """A JSON text, number or boolean is a TOML one too, as long as characters beyond ASCII stand for themselves."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(_pairs(value))}}}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

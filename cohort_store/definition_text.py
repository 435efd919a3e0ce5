"""YAML or JSON text as plain values, with the line of every value.

YAML is read by the rules of its JSON schema (1.2): only `true`, `false`, `null`, `~` and numbers are not
text, so that `no` stays a word and an unquoted `2026-01-12T12:00:00Z` stays what its author wrote.
Anchors, aliases, tags other than `!!str`, a key written twice, and several documents in one file are
refused: each of them makes a file mean something else than it seems to.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from cohort_store.errors import BadDefinition

FILE_BYTES_MAX = 16 * 1024 * 1024
NESTING_MAX = 60

_STR_TAG = "tag:yaml.org,2002:str"
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_STEP = re.compile(r"(\[\d+\]|\.?[^.\[]+)$")

_HALF = re.compile("[\ud800-\udfff]")

# libyaml's scanner where the wheel carries it; the one in Python reads the same, more slowly.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class DefinitionText:
    """One file. `name` is what messages call it; one that ends with .json is read as JSON, any other as YAML."""

    name: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class LocatedValue:
    """A file's value, and where each of its parts stands."""

    name: str
    value: Any
    lines: Mapping[str, int] = field(default_factory=dict)
    """Path, as in `cohorts[0].when`, → line, from 1."""

    def where(self, path: str) -> str:
        """`file:line: path`, with the line of the path itself or of the nearest part around it."""
        nearest = path
        while nearest and nearest not in self.lines:
            nearest = _STEP.sub("", nearest)
        line = self.lines.get(nearest)
        place = self.name if line is None else f"{self.name}:{line}"
        return f"{place}: {path}" if path else place


def read_text(source: DefinitionText) -> LocatedValue:
    """The file's value. Raises BadDefinition, with the line, for what is too big or no YAML or JSON."""
    name = source.name
    if len(source.raw) > FILE_BYTES_MAX:
        raise BadDefinition(name, f"longer than the {FILE_BYTES_MAX} bytes of a definitions file; split it")
    try:
        text = source.raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.raw.count(b"\n", 0, error.start) + 1
        raise BadDefinition(f"{name}:{line}", f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
    read = _read_json(name, text) if name.lower().endswith(".json") else _read_yaml(name, text)
    _refuse_half_characters(read)
    return read


def _refuse_half_characters(read: LocatedValue) -> None:
    """Half of a surrogate pair is no character, and can be stored in no text."""
    waiting: list[tuple[str, Any]] = [("", read.value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += ((path, key) for key in value)
            waiting += ((f"{path}.{key}" if path else str(key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            waiting += ((f"{path}[{index}]", inner) for index, inner in enumerate(value))
        elif isinstance(value, str) and (half := _HALF.search(value)):
            raise BadDefinition(
                _HALF.sub("?", read.where(path)),
                f"holds {half[0]!r}, half of a surrogate pair; write the character itself, or both halves",
            )


def is_text_unquoted(text: str) -> bool:
    """Whether a text without quotes is read as this text, and as nothing else."""
    if text in _NULLS or text in _BOOLEANS:
        return False
    return not (_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text))


def _read_yaml(name: str, text: str) -> LocatedValue:
    walk = _Walk(name)
    try:
        value = walk.document(yaml.parse(text, _Loader))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadDefinition(
            f"{name}{line}", f"not YAML: {error.problem or error}; correct it there or just above"
        ) from None
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        raise BadDefinition(f"{name}:{number}", f"not YAML: {error.reason}; remove the character") from None
    return LocatedValue(name, value, walk.lines)


def _read_json(name: str, text: str) -> LocatedValue:
    """Values by the JSON parser, lines by the YAML one: JSON without its tabs (no string holds one) is YAML."""
    repeated: list[str] = []
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _object(pairs, repeated),
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except json.JSONDecodeError as error:
        raise BadDefinition(
            f"{name}:{error.lineno}", f"not JSON: {error.msg} at column {error.colno}; correct it"
        ) from None
    except ValueError as error:
        raise BadDefinition(name, str(error)) from None
    except RecursionError:
        raise BadDefinition(name, f"nested deeper than {NESTING_MAX} levels; split it and use in_cohort") from None
    walk = _Walk(name)
    try:
        walk.document(yaml.parse(text.replace("\t", " "), _Loader))
    except yaml.YAMLError:
        # A text beyond YAML, an escaped surrogate pair for one: messages then name the path without the line.
        walk.lines.clear()
    if repeated:
        raise BadDefinition(name, f"key {repeated[0][:80]!r} stands twice in one object; keep one of the two")
    return LocatedValue(name, value, walk.lines)


def _object(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated.append(next(key for key in keys if keys.count(key) > 1))
    return made


def _integer(word: str) -> int:
    if len(word) > 20 or not -(2**63) <= int(word) < 2**63:
        raise ValueError(f"{word[:40]} is beyond 64 bits (at most {2**63 - 1}); write it as a text, in quotes")
    return int(word)


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word[:40]} is not a finite number; write one, null or a text")
    return number


class _Walk:
    """One document's events, from left to right, to its value and its lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[str, int] = {}

    def document(self, events: Iterator[Any]) -> Any:
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document begins here; put it into a file of its own")
                value = self._value(next(events), events, "", 1)
        return value

    def _value(self, event: Any, events: Iterator[Any], path: str, depth: int) -> Any:
        self.lines[path] = _line(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse(event, f"{event.anchor[:80]!r} is an anchor or alias; write the value out where it is meant")
        if depth > NESTING_MAX:
            self._refuse(event, f"nested deeper than {NESTING_MAX} levels; split it and use in_cohort")
        if event.tag not in (None, "!", _STR_TAG):
            self._refuse(event, f"tag {event.tag[:80]!r} is not read here; remove it")
        if isinstance(event, yaml.ScalarEvent):
            try:
                return _scalar(event)
            except ValueError as error:
                self._refuse(event, str(error))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path, depth)
        return self._mapping(events, path, depth)

    def _sequence(self, events: Iterator[Any], path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._value(event, events, f"{path}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, events: Iterator[Any], path: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be a text; write `key: value`")
            key = event.value
            if key in made:
                self._refuse(event, f"key {key[:80]!r} stands twice in one mapping; keep one of the two")
            inner = f"{path}.{key}" if path else key
            made[key] = self._value(next(events), events, inner, depth + 1)
            self.lines[inner] = _line(event)
        return made

    def _refuse(self, event: Any, problem: str) -> NoReturn:
        raise BadDefinition(f"{self.name}:{_line(event)}", problem)


def _line(event: Any) -> int:
    line: int = event.start_mark.line + 1
    return line


def _scalar(event: Any) -> Any:
    """The value of a scalar: text where it is quoted or tagged, else by the JSON schema."""
    text: str = event.value
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    return _finite(text) if _FLOAT.fullmatch(text) else text

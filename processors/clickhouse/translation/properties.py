"""Property tests as SQL over a JSON object's text: one function an operator.

The positive operators are here, each as an expression that is never NULL and is false for a missing property; a
negative one is the positive one denied, as in `cohort_store.operators`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cohort_store.errors import Crash
from cohort_store.operators import IS_SET, NEGATIVES
from cohort_store.properties import PropertyTest
from cohort_store.property_dates import parse_limit
from cohort_store.property_values import number_of, text_of
from cohort_store.semantic_versions import Version, VersionRange, caret, parse_version, tilde, wildcard
from processors.clickhouse.translation import literals

Operator = Callable[[str, Any], str]
"""Of the property, as `json, 'name'`, and the definition's value."""


def passes(test: PropertyTest, json: str = "properties") -> str:
    """Whether a test passes, of the properties in the column `json`, which must be valid JSON.

    A relative date is compared with the alias `now`.
    """
    positive = NEGATIVES.get(test.op, test.op)
    found = OPERATORS[positive](f"{json}, {literals.text(test.property)}", test.value)
    return f"NOT {found}" if positive != test.op else found


def _is_set(of: str, _: Any = None) -> str:
    return f"(JSONType({of}) != 'Null')"


def _exact(of: str, value: Any) -> str:
    return _there(of, f"text_of({of}) IN {literals.texts(_texts(value))}")


def _icontains(of: str, value: Any) -> str:
    folded = _each(text.casefold() for text in _texts(value))
    return _there(of, _any(f"position(caseFoldUTF8(text_of({of})), {part}) > 0" for part in folded))


def _starts_with(of: str, value: Any) -> str:
    return _there(of, _any(f"startsWith(text_of({of}), {part})" for part in _each(_texts(value))))


def _ends_with(of: str, value: Any) -> str:
    return _there(of, _any(f"endsWith(text_of({of}), {part})" for part in _each(_texts(value))))


def _regex(of: str, value: Any) -> str:
    """`match` lets a dot match a line's end, which RE2 by itself does not."""
    patterns = _each(f"(?-s){pattern}" for pattern in _texts(value))
    return _there(of, _any(f"match(text_of({of}), {pattern})" for pattern in patterns))


def _compares(sign: str) -> Operator:
    return lambda of, value: f"ifNull(number_of({of}) {sign} {_number(value)}, false)"


def _between(of: str, value: Any) -> str:
    return f"ifNull(number_of({of}) BETWEEN {_number(value[0])} AND {_number(value[1])}, false)"


def _dates(sign: str) -> Operator:
    def compare(of: str, value: Any) -> str:
        limit = parse_limit(value)
        instant = f"now - {limit.back_ms}" if limit.fixed_ms is None else literals.integer(limit.fixed_ms)
        return f"ifNull(instant_of({of}) {sign} {instant}, false)"

    return compare


def _versions(sign: str) -> Operator:
    return lambda of, value: _version(of, f"version_of(text_of({of})) {sign} {_version_literal(parse_version(value))}")


def _version_range(bounds: Callable[[Any], VersionRange]) -> Operator:
    def inside(of: str, value: Any) -> str:
        span = bounds(value)
        text = f"text_of({of})"
        lowest = f"version_of({text}) >= {_version_literal(span.lowest)}"
        if span.below is None:
            return _version(of, lowest)
        below = f"({', '.join(map(str, span.below))})"
        return _version(
            of, f"{lowest} AND (version_of({text}).1, version_of({text}).2, version_of({text}).3) < {below}"
        )

    return inside


def _version(of: str, holds: str) -> str:
    return f"(is_version(text_of({of})) AND {holds})"


def _version_literal(version: Version) -> str:
    core = ".".join(map(str, version.core))
    words = ".".join(word if is_word else str(number) for is_word, number, word in version.prerelease)
    return f"version_of({literals.text(f'{core}-{words}' if words else core)})"


def _there(of: str, holds: str) -> str:
    return f"({_is_set(of)} AND {holds})"


def _any(found: Iterable[str]) -> str:
    parts = list(found)
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"


def _each(values: Iterable[str]) -> list[str]:
    return [literals.text(value) for value in sorted(set(values))]


def _texts(value: Any) -> list[str]:
    return [text_of(each) for each in (value if isinstance(value, tuple) else (value,))]


def _number(value: Any) -> str:
    limit = number_of(value)
    if limit is None:
        raise Crash(f"comparison with {value!r}, which no definition can hold")
    return literals.number(limit)


OPERATORS: dict[str, Operator] = {
    "exact": _exact,
    "icontains": _icontains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "regex": _regex,
    "gt": _compares(">"),
    "gte": _compares(">="),
    "lt": _compares("<"),
    "lte": _compares("<="),
    "between": _between,
    "is_date_before": _dates("<"),
    "is_date_after": _dates(">"),
    "is_date_exact": _dates("="),
    "semver_eq": _versions("="),
    "semver_neq": _versions("!="),
    "semver_gt": _versions(">"),
    "semver_gte": _versions(">="),
    "semver_lt": _versions("<"),
    "semver_lte": _versions("<="),
    "semver_tilde": _version_range(tilde),
    "semver_caret": _version_range(caret),
    "semver_wildcard": _version_range(wildcard),
    IS_SET: _is_set,
}
"""The positive operators."""

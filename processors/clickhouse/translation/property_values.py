"""JSON properties as text, number, date and version: SQL that says of a value what `cohort_store` says of it.

Each is a lambda that a statement names in its WITH, and calls by that name. The text of a property that is missing or
null is empty; its number and its date are NULL. Sources: `property_values`, `property_dates`, `semantic_versions`.

An arrayMap over one element gives a value its name, where it would be worked out, and written out, many times else.

Known to differ, and left so, because no program that writes events does it: an object that names a property twice (the
first counts here, the last in Python), and an integer beyond 64 bits inside a list or an object (in quotes here).
"""

from __future__ import annotations

from cohort_store.property_dates import ISO_PATTERN, SECONDS_MAX, SECONDS_MIN
from cohort_store.semantic_versions import VERSION_CHARS_MAX, VERSION_PATTERN
from processors.clickhouse.translation import literals
from processors.clickhouse.translation.event_values import FIXED_POINT_OF, HASH_OF
from processors.clickhouse.translation.registers import WRITES_OF

# ClickHouse writes lists and objects as compact as Python does, but for three notations: -0 for -0.0, U+2028 and U+2029
# escaped, and other escapes in capitals. The pattern passes over texts whole, so that it finds -0 among numbers only.
# Then pairs of backslashes stand aside as a NUL, which no JSON holds: none of them is taken for an escape's beginning.
_COMPACT = r"""(raw) -> replaceAll(
    arrayFold(
        (text, code) -> replaceAll(text, concat('\\u00', code), concat('\\u00', lower(code))),
        ['0B', '0E', '0F', '1A', '1B', '1C', '1D', '1E', '1F'],
        replaceAll(replaceAll(replaceAll(
            replaceRegexpAll(raw, '("(?:[^"\\\\]|\\\\.)*")|-(0[,\\]}])', '\\1\\2'),
            '\\\\', char(0)), '\\u2028', char(226, 128, 168)), '\\u2029', char(226, 128, 169))
    ), char(0), '\\\\'
) AS compact"""

_TEXT_OF = r"""(json, name) -> multiIf(
    JSONType(json, name) IN ('Array', 'Object'), compact(JSONExtractRaw(json, name)),
    JSONType(json, name) = 'Double' AND JSONExtractString(json, name) = '-0', '0',
    JSONExtractString(json, name)
) AS text_of"""

# An integer beyond 64 bits is a String to ClickHouse's parser, and a text of digits is a number: both go one way.
_NUMBER_OF = r"""(json, name) -> multiIf(
    JSONType(json, name) IN ('Int64', 'UInt64', 'Double'), JSONExtractFloat(json, name),
    match(JSONExtractString(json, name), '^[-+]?(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][-+]?[0-9]+)?$')
        AND isFinite(toFloat64OrNull(JSONExtractString(json, name))),
        toFloat64OrNull(JSONExtractString(json, name)),
    NULL
) AS number_of"""

_SECONDS_OF = f"""(seconds) -> if(
    seconds BETWEEN {SECONDS_MIN} AND {SECONDS_MAX}, milliseconds_at_or_below(toInt64(round(seconds * 1e6))), NULL
) AS milliseconds_of_seconds"""
# Whole numbers, since a quotient of floats is rounded; and down, where intDiv by itself goes towards 0.
_MILLISECONDS = "(micros) -> intDiv(micros - positiveModulo(micros, 1000), 1000) AS milliseconds_at_or_below"

# The days before a date by the Gregorian rule, with years that begin in March: ClickHouse's own dates begin in 1900.
_DAYS_BEFORE = """(year, month, day) -> (
    365 * (year - (month < 3)) + intDiv(year - (month < 3), 4) - intDiv(year - (month < 3), 100)
    + intDiv(year - (month < 3), 400) + intDiv(153 * (month + if(month < 3, 9, -3)) + 2, 5) + day - 719469
) AS days_since_1970"""

_IS_DAY = """(year, month, day) -> (
    year > 0 AND day <= [31, if(year % 4 = 0 AND (year % 100 != 0 OR year % 400 = 0), 29, 28),
        31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month]
) AS is_day"""

# Of the parts: year, month, day, hour, minute, second, fraction, sign, hours ahead, minutes ahead.
_ISO_MS = """(parts) -> if(
    is_day(toInt64OrZero(parts[1]), toInt64OrZero(parts[2]), toInt64OrZero(parts[3])),
    days_since_1970(toInt64OrZero(parts[1]), toInt64OrZero(parts[2]), toInt64OrZero(parts[3])) * 86400000
        + toInt64OrZero(parts[4]) * 3600000 + toInt64OrZero(parts[5]) * 60000 + toInt64OrZero(parts[6]) * 1000
        + toInt64OrZero(substring(concat(parts[7], '000'), 1, 3))
        - if(parts[8] = '-', -1, 1) * (toInt64OrZero(parts[9]) * 3600000 + toInt64OrZero(parts[10]) * 60000),
    NULL
) AS milliseconds_of_parts"""

_ISO = literals.text(f"^{ISO_PATTERN}$")
_INSTANT_OF = f"""(json, name) -> if(
    match(JSONExtractString(json, name), {_ISO}),
    arrayMap(parts -> milliseconds_of_parts(parts), [extractGroups(JSONExtractString(json, name), {_ISO})])[1],
    milliseconds_of_seconds(number_of(json, name))
) AS instant_of"""

_VERSION = literals.text(f"^{VERSION_PATTERN}$")
_IS_VERSION = f"(text) -> (length(text) <= {VERSION_CHARS_MAX} AND match(text, {_VERSION})) AS is_version"
_VERSION_OF = f"""(text) -> arrayMap(
    parts -> version_of_parts(parts), [extractGroups(text, {_VERSION})]
)[1] AS version_of"""
_VERSION_OF_PARTS = """(parts) -> (
    toInt64OrZero(parts[1]), toInt64OrZero(parts[2]), toInt64OrZero(parts[3]), parts[4] = '',
    arrayMap(
        word -> if(match(word, '^[0-9]+$'), (false, toInt64OrZero(word), ''), (true, toInt64(0), word)),
        arrayFilter(word -> word != '', splitByChar('.', parts[4]))
    )
) AS version_of_parts"""

_LAMBDAS = (
    WRITES_OF,
    FIXED_POINT_OF,
    HASH_OF,
    _VERSION_OF,
    _VERSION_OF_PARTS,
    _IS_VERSION,
    _INSTANT_OF,
    _ISO_MS,
    _IS_DAY,
    _DAYS_BEFORE,
    _SECONDS_OF,
    _MILLISECONDS,
    _NUMBER_OF,
    _TEXT_OF,
    _COMPACT,
)
"""Each before those that it calls."""


def definitions(body: str) -> list[str]:
    """The lambdas that a statement with this body needs, each behind those that it calls."""
    needed: list[str] = []
    for sql in _LAMBDAS:
        name = sql.rpartition(" AS ")[2]
        if any(f"{name}(" in text for text in (body, *needed)):
            needed.insert(0, sql)
    return needed

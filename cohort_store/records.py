"""A subject's record: everything that Muster keeps of her, and its packed form.

A record is a sufficient subset of her true events (timelines), her registers, and the cohort versions
that she is stored in. "Stored in" is "is a member of", but for a complemented version, where the
exceptions are stored. An empty record is deleted: it means the same as never seen.

Of somebody who was forgotten a tombstone stays for a while (forgetting.py). It says nothing about her: a record of
nothing else means the same as never seen, but is stored.

Where of a cohort nothing can be said about her, since a timeline that it reads was cut at a cap, the *negative* handle
is in her memberships: so the one set that an evaluation reads says that too.

Layout (frozen by golden tests): the byte 1, then msgpack ``[memberships, timelines, registers, ahead, inexact]`` with
memberships ``[handle, …]`` ascending, timeline ``[selector, width, time_ms, tag(, value), …]`` where every time but the
first is the difference to the one before and width is 2 or 3, register ``[name, version, value]``,
ahead ``[time_ms, selector, tag, …]``, inexact ``[selector, time_ms, …]``. A tombstone is a register there, of the name
`$forgotten`, with its instant for a version and ``[until_ms, state]`` as JSON for a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from cohort_store.errors import BadRecord, Crash
from cohort_store.timelines import Entry, Timeline

SCHEMA = b"\x01"

Register = tuple[int, str]
"""(version, value): compared as a pair, the highest wins. The value is JSON text; `null` says that it was unset."""

VALUE_BYTES_MAX = 1_024
"""Of a register's text, as UTF-8; a longer one is refused where it comes in."""
RESERVED_PREFIX = "$list:"
"""Registers whose names begin so are Muster's own; no property of a person is sent under such a name."""

FORGOTTEN = "$forgotten"
"""The register in the packed form that a tombstone is; no property is kept under this name either."""

Ahead = tuple[int, int, int]
"""(time_ms, selector, tag) of an entry that was dated later than its arrival and is not due yet."""


class Forgotten(NamedTuple):
    """A tombstone: what somebody was forgotten as of, and until when that is kept up."""

    at_ms: int
    until_ms: int
    state: int = -1
    """The highest version of a whole state of hers that was known (person_updates.py); -1: none."""


class Record(NamedTuple):
    """Immutable: folding returns a new one."""

    memberships: frozenset[int] = frozenset()
    timelines: Mapping[int, Timeline] = {}
    registers: Mapping[str, Register] = {}
    ahead: tuple[Ahead, ...] = ()
    inexact: Mapping[int, int] = {}
    """Selector → the instant up to which entries may have been lost at a cap, while that matters."""
    forgotten: Forgotten | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it says no more than no record would."""
        return not (self.timelines or self.registers or self.memberships or self.inexact)

    @property
    def is_stored(self) -> bool:
        """Whether there is anything to keep."""
        return self.forgotten is not None or not self.is_empty


EMPTY = Record()

_encoder = msgspec.msgpack.Encoder()
_decode_tombstone = msgspec.json.Decoder(tuple[int, int]).decode
_decoder = msgspec.msgpack.Decoder(tuple[list[int], list[list[int]], list[tuple[str, int, str]], list[int], list[int]])
_registers_decoder = msgspec.msgpack.Decoder(
    tuple[msgspec.Raw, msgspec.Raw, list[tuple[str, int, str]], msgspec.Raw, msgspec.Raw]
)


def encode_record(record: Record) -> bytes:
    """The packed form."""
    memberships, timelines, registers, ahead, inexact, forgotten = record
    if forgotten is not None:
        at_ms, until_ms, state = forgotten
        registers = {**registers, FORGOTTEN: (at_ms, msgspec.json.encode((until_ms, state)).decode())}
    packed = (
        sorted(memberships) if memberships else (),
        [_pack(selector, timelines[selector]) for selector in sorted(timelines)],
        [(name, *register) for name, register in sorted(registers.items())] if registers else (),
        [number for each in ahead for number in each] if ahead else (),
        [number for each in sorted(inexact.items()) for number in each] if inexact else (),
    )
    return SCHEMA + _encoder.encode(packed)


def decode_record(raw: bytes) -> Record:
    """The inverse of `encode_record`. Raises BadRecord for bytes that it did not make."""
    if raw[:1] != SCHEMA:
        raise BadRecord(f"record starts with {raw[:1]!r}, not with schema {SCHEMA!r}; is its writer newer?")
    try:
        memberships, timelines, registers, ahead, inexact = _decoder.decode(memoryview(raw)[1:])
        held = {name: (version, value) for name, version, value in registers}
        tombstone = held.pop(FORGOTTEN, None)
        return Record(
            frozenset(memberships),
            {packed[0]: _unpack(packed) for packed in timelines},
            held,
            tuple((ahead[i], ahead[i + 1], ahead[i + 2]) for i in range(0, len(ahead), 3)),
            {inexact[i]: inexact[i + 1] for i in range(0, len(inexact), 2)},
            None if tombstone is None else Forgotten(tombstone[0], *_decode_tombstone(tombstone[1])),
        )
    except (msgspec.MsgspecError, IndexError, ValueError) as error:
        raise BadRecord(f"record of {len(raw)} bytes is not readable: {error}") from None


def decode_registers(raw: bytes) -> dict[str, Register]:
    """A packed record's registers alone: the rest is passed over unread. Raises BadRecord as `decode_record` does."""
    if raw[:1] != SCHEMA:
        raise BadRecord(f"record starts with {raw[:1]!r}, not with schema {SCHEMA!r}; is its writer newer?")
    try:
        registers = _registers_decoder.decode(memoryview(raw)[1:])[2]
    except msgspec.MsgspecError as error:
        raise BadRecord(f"record of {len(raw)} bytes is not readable: {error}") from None
    return {name: (version, value) for name, version, value in registers if name != FORGOTTEN}


def _pack(selector: int, timeline: Timeline) -> list[int]:
    width = len(timeline[0])
    packed = [selector, width]
    before = 0
    for time_ms, *rest in timeline:
        packed += (time_ms - before, *rest)
        before = time_ms
    if len(packed) != 2 + width * len(timeline):
        raise Crash(f"timeline of selector {selector} holds entries with a value beside others without one")
    return packed


def _unpack(packed: list[int]) -> Timeline:
    width = packed[1]
    if width not in (2, 3) or (len(packed) - 2) % width:
        raise ValueError(f"timeline of width {width} with {len(packed) - 2} numbers")
    entries: list[Entry] = []
    time_ms = 0
    for i in range(2, len(packed), width):
        time_ms += packed[i]
        entries.append((time_ms, packed[i + 1]) if width == 2 else (time_ms, packed[i + 1], packed[i + 2]))
    return tuple(entries)


def outside(record: Record, from_ms: int, until_ms: int) -> Record:
    """The record without its entries of a stretch of time, both ends in it. Its memberships stay what they were."""
    timelines = {
        selector: tuple(entry for entry in line if not from_ms <= entry[0] <= until_ms)
        for selector, line in record.timelines.items()
    }
    return record._replace(timelines={selector: line for selector, line in timelines.items() if line})


def register_wins(challenger: Register, present: Register | None) -> bool:
    """Whether a write replaces what is there: the highest (version, value) does."""
    return present is None or challenger > present


def json_ready(record: Record) -> dict[str, Any]:
    """The record in a form for people: for `muster person --json` and the explanation API."""
    return {
        "memberships": sorted(record.memberships),
        "timelines": {str(selector): [list(entry) for entry in line] for selector, line in record.timelines.items()},
        "registers": {name: {"version": at, "value": value} for name, (at, value) in record.registers.items()},
        "inexact": {str(selector): lost_ms for selector, lost_ms in record.inexact.items()},
        "forgotten": record.forgotten and {"at": record.forgotten.at_ms, "until": record.forgotten.until_ms},
    }

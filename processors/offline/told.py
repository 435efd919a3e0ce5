"""What events say of their persons' properties, until it is known whose each distinct id is."""

from __future__ import annotations

from collections.abc import Iterable

from cohort_store.deltas import RegisterWrite
from cohort_store.records import Register, register_wins
from processors.codecs.event import Event
from processors.offline.identities import Identities

Registers = dict[str, Register]


class Told:
    """Filled while a log is read; of the writes to a register the highest is kept, as in a record."""

    def __init__(self) -> None:
        self._named: dict[str, Registers] = {}
        self._unnamed: dict[str, Registers] = {}

    def write(self, event: Event, writes: Iterable[RegisterWrite]) -> None:
        """Take in what one event says."""
        for name, version, text in writes:
            if event.person_id is not None:
                _write(self._named.setdefault(event.person_id, {}), name, (version, text))
            elif event.distinct_id is not None:
                _write(self._unnamed.setdefault(event.distinct_id, {}), name, (version, text))

    def by_person(self, identities: Identities) -> dict[str, Registers]:
        """All of it. Asked once, when the log has been read to its end."""
        for distinct_id, registers in self._unnamed.items():
            whole = self._named.setdefault(identities.person_of(distinct_id), {})
            for name, register in registers.items():
                _write(whole, name, register)
        return self._named


def _write(registers: Registers, name: str, register: Register) -> None:
    if register_wins(register, registers.get(name)):
        registers[name] = register

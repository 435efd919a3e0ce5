"""Who is who in a log: the persons that it knows of, and whose each distinct id is.

A distinct id belongs to the person that the persons file gives, else to the one whom the latest event pairs it with
(the highest (time, person) wins, as in the store), else to the person whose id is that distinct id.
"""

from __future__ import annotations


class Identities:
    """Filled while a log is read; asked when it is read to its end."""

    def __init__(self) -> None:
        self.persons: set[str] = set()
        """Those that a line names by their own id."""
        self.distinct_ids: set[str] = set()
        """Those that a line names without a person."""
        self.pairs: dict[str, tuple[int, str]] = {}
        """Distinct id → (event time, person), as events pair them."""
        self.given: dict[str, str] = {}
        """Distinct id → person, as the persons file says."""

    def pair(self, distinct_id: str, person: str, time_ms: int) -> None:
        """Take in what an event says."""
        present = self.pairs.get(distinct_id)
        if present is None or (time_ms, person) > present:
            self.pairs[distinct_id] = (time_ms, person)

    def person_of(self, distinct_id: str) -> str:
        """The person of a distinct id that came without one."""
        given = self.given.get(distinct_id)
        if given is not None:
            return given
        paired = self.pairs.get(distinct_id)
        return distinct_id if paired is None else paired[1]

    def everybody(self) -> list[str]:
        """All persons, sorted."""
        return sorted(self.persons.union(map(self.person_of, self.distinct_ids)))

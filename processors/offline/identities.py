"""Who is who in a log: the persons that it knows of, and whose each distinct id is.

A distinct id belongs to the person that the persons file gives, else to the one whom the latest event pairs it with,
or tells it as another id of (the highest (time, person) wins, as in the store), else to the person whose id is that
distinct id.
"""

from __future__ import annotations

from processors.codecs.other_ids import Alias


class Identities:
    """Filled while a log is read; asked when it is read to its end."""

    def __init__(self) -> None:
        self.persons: set[str] = set()
        """Those that a line names by their own id."""
        self.distinct_ids: set[str] = set()
        """Those that a line names without a person."""
        self.pairs: dict[str, tuple[int, str]] = {}
        """Distinct id → (event time, person), as events pair them."""
        self.aliases: dict[str, list[Alias]] = {}
        """By distinct id, what tells it as another id of somebody."""
        self.given: dict[str, str] = {}
        """Distinct id → person, as the persons file says."""

    def pair(self, distinct_id: str, person: str, time_ms: int) -> None:
        """Take in what an event says."""
        present = self.pairs.get(distinct_id)
        if present is None or (time_ms, person) > present:
            self.pairs[distinct_id] = (time_ms, person)

    def tell(self, alias: Alias | None) -> None:
        """Take in which other id an event tells, if any."""
        if alias is not None:
            self.aliases.setdefault(alias.other, []).append(alias)

    def person_of(self, distinct_id: str) -> str:
        """The person of a distinct id that came without one."""
        given = self.given.get(distinct_id)
        if given is not None:
            return given
        paired = self.pairs.get(distinct_id, (-1, distinct_id))
        aliases = self.aliases.get(distinct_id, ())
        return max([paired, *((each.time_ms, each.person or self._named(each.distinct_id)) for each in aliases)])[1]

    def _named(self, distinct_id: str) -> str:
        return self.given.get(distinct_id) or self.pairs.get(distinct_id, (-1, distinct_id))[1]

    def everybody(self) -> list[str]:
        """All persons, sorted."""
        return sorted(self.persons.union(map(self.person_of, self.distinct_ids)))

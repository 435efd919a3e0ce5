"""In whose place the person of a request came, for flags that go on with the values of her anonymous days."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from cohort_store.errors import MusterError
from cohort_store.hash_keys import HashKeys, HashKeyStore
from cohort_store.subjects import PERSON, Subject
from evaluator.reading.coalescing import DEADLINE_S

logger = logging.getLogger(__name__)


class Continuity:
    """Reads it, and keeps it where a request brings the anonymous id for the first time."""

    def __init__(self, store: HashKeyStore, *, deadline_s: float = DEADLINE_S) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._away = False

    async def hash_keys(
        self, team: int, distinct_id: str, person: str, anonymous: str | None, flags: Sequence[str]
    ) -> HashKeys | None:
        """By flag, of these flags, the id in whose place she came; None where it cannot be read in time.

        What was kept for the distinct id before its person was known goes on counting, behind what is kept for her.
        """
        subject = Subject(team, PERSON, person)
        subjects = [subject] if person == distinct_id else [subject, Subject(team, PERSON, distinct_id)]
        try:
            async with asyncio.timeout(self._deadline_s):
                found = await self._store.read(subjects)
        except (MusterError, TimeoutError) as error:
            self._mark_away(error)
            return None
        self._away = False
        kept: Mapping[str, str] = {flag: key for each in reversed(found) for flag, key in each.items()}
        missing = [flag for flag in flags if flag not in kept]
        if not missing or not anonymous or anonymous == distinct_id:
            return kept
        return {
            **dict.fromkeys(missing, anonymous),
            **await self._keep(subject, dict.fromkeys(missing, anonymous)),
            **kept,
        }

    async def _keep(self, subject: Subject, keys: HashKeys) -> HashKeys:
        """What is kept then; nothing where that fails: this answer is right all the same, and the next tries again."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._store.keep(subject, keys)
        except (MusterError, TimeoutError) as error:
            self._mark_away(error)
            return {}

    def _mark_away(self, error: BaseException) -> None:
        if not self._away:
            why = str(error) or f"no answer within {self._deadline_s} s"
            logger.warning("in whose place persons came cannot be read or kept, policies answer: %s", why)
        self._away = True

"""The documents of `local_evaluation.py`, made when somebody asks and kept while their catalog is in force."""

from __future__ import annotations

import asyncio

from evaluator.definitions.catalog import TeamCatalog
from evaluator.definitions.local_evaluation import Document, Reader, document_of


class Documents:
    """Each team's newest document, one for each form that somebody asked for; made off the event loop, once."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, bool, Reader], tuple[TeamCatalog, Document]] = {}
        self._making = asyncio.Lock()

    async def of(self, catalog: TeamCatalog, *, with_cohorts: bool, reader: Reader) -> Document:
        """The document of this very catalog."""
        form = (catalog.team, with_cohorts, reader)
        found = self._found(form, catalog)
        if found is None:
            async with self._making:
                found = self._found(form, catalog)
                if found is None:
                    found = await asyncio.to_thread(
                        document_of, catalog.registry, with_cohorts=with_cohorts, reader=reader
                    )
                    self._made[form] = (catalog, found)
        return found

    def _found(self, form: tuple[int, bool, Reader], catalog: TeamCatalog) -> Document | None:
        made = self._made.get(form)
        return made[1] if made is not None and made[0] is catalog else None

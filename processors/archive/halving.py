"""Writing a block of which ClickHouse may refuse some rows: halved until those are found, the others written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cohort_store.clickhouse.client import RefusedRows
from cohort_store.errors import Retry
from cohort_store.forgetting import Origin
from processors.router.ports import Message
from processors.router.progress import Source

REFUSED_ROWS_MAX = 32
"""In one block; finding so many in a full one takes fewer than 1,000 inserts."""


class EventRows(Protocol):
    """Where rows go."""

    async def insert(self, rows: Sequence[bytes]) -> None:
        """Write rows, each a JSON object; again is harmless.

        Raises RefusedRows where some are refused for what is in them, Retry where not all are known to be written.
        Nothing is known of the others then.
        """
        ...


class Taken(NamedTuple):
    """A row, and the message that it was made from."""

    row: bytes
    source: Source
    message: Message
    origin: Origin | None = None
    """Whose event it is."""


class Refused(NamedTuple):
    """A row that cannot be written, and ClickHouse's own words."""

    taken: Taken
    detail: str


async def insert_sound(table: EventRows, block: Sequence[Taken]) -> list[Refused]:
    """Write every row that the table takes; those that it does not, in their order.

    Raises Retry where not all is known to be written, and where more than REFUSED_ROWS_MAX are refused: so many are
    the table's fault, and no reason to give events up. Doing it again is harmless.
    """
    refused: list[Refused] = []
    waiting = [block]
    while waiting:
        part = waiting.pop()
        try:
            await table.insert([taken.row for taken in part])
        except RefusedRows as error:
            if len(part) > 1:
                half = len(part) // 2
                waiting += (part[half:], part[:half])
            elif len(refused) < REFUSED_ROWS_MAX:
                refused.append(Refused(part[0], str(error)))
            else:
                raise Retry(
                    f"ClickHouse refuses more than {REFUSED_ROWS_MAX} rows of a block of {len(block)}: "
                    f"is its table as Muster made it? The last one: {error}"
                ) from error
    return refused

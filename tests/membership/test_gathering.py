"""How much an owner that is far behind takes in before it folds."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import pytest

from processors.membership.worker import GATHER_BYTES_MAX, GATHER_FETCHES_MAX, Fetched, gathered


class Fetches:
    """Gives what it was made with, a fetch each, and then nothing."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.left = [[Fetched(0, offset, 0, bytes(size))] if size else [] for offset, size in enumerate(sizes)]

    async def fetch(self) -> Sequence[Fetched]:
        return self.left.pop(0) if self.left else []

    def seek(self, partition: int, offset: int) -> None: ...

    def pause(self, partitions: Collection[int]) -> None: ...

    async def acknowledge(self, offsets: Mapping[int, int]) -> None: ...


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ([], []),
        ([0, 7], []),
        ([7, 8, 0, 9], [0, 1]),
        ([GATHER_BYTES_MAX - 1, 1, 7], [0, 1]),
        ([GATHER_BYTES_MAX - 2, 1, 7, 9], [0, 1, 2]),
        ([1] * (GATHER_FETCHES_MAX + 1), list(range(GATHER_FETCHES_MAX))),
    ],
    ids=["nothing", "empty at once", "empty later", "full to the byte", "not quite full", "many"],
)
def test_fetches_are_taken_together_up_to_an_empty_one_or_the_bounds(sizes: list[int], taken: list[int]) -> None:
    assert [each.offset for each in asyncio.run(gathered(Fetches(sizes)))] == taken

"""Bodies are read within bounds of length, number and time."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from evaluator.http.bodies import BODY_BYTES_MAX
from evaluator.http.messages import Problem
from evaluator.http.reading import BodyReader


class Arriving:
    """A body whose chunks arrive, and which ends once `ended` is set."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks: Sequence[bytes] = chunks
        self.ended = asyncio.Event()
        self.read = 0

    async def __call__(self) -> bytes:
        await self.ended.wait()
        return b"".join(self.chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.read += 1
            yield chunk
        await self.ended.wait()


def _whole(*chunks: bytes) -> Arriving:
    body = Arriving(*chunks)
    body.ended.set()
    return body


@pytest.mark.parametrize("headers", [{"content-length": "5"}, {}])
async def test_a_body_is_read_with_and_without_a_length(headers: dict[str, str]) -> None:
    assert await BodyReader().read(headers, _whole(b"ab", b"cde")) == b"abcde"


@pytest.mark.parametrize("headers", [{"content-length": "5"}, {}])
async def test_a_body_that_does_not_end_in_time_is_refused(headers: dict[str, str]) -> None:
    reader = BodyReader(deadline_s=0.01)
    with pytest.raises(Problem) as refused:
        await reader.read(headers, Arriving(b"ab"))
    assert (refused.value.status, refused.value.body.code) == (408, "body_too_slow")


@pytest.mark.parametrize(("length", "is_read"), [(BODY_BYTES_MAX, True), (BODY_BYTES_MAX + 1, False), (10**30, False)])
async def test_a_body_that_is_told_to_be_too_long_is_not_even_read(length: int, is_read: bool) -> None:
    body = _whole(b"x")
    if is_read:
        assert await BodyReader().read({"content-length": str(length)}, body) == b"x"
        return
    with pytest.raises(Problem) as refused:
        await BodyReader().read({"content-length": str(length)}, body)
    assert (refused.value.status, body.read) == (413, 0)


async def test_a_body_without_a_length_is_read_no_further_than_the_limit() -> None:
    body = _whole(*[b" " * 65_536] * 100)
    with pytest.raises(Problem) as refused:
        await BodyReader().read({}, body)
    assert (refused.value.status, body.read) == (413, BODY_BYTES_MAX // 65_536 + 1)


async def test_bodies_read_at_once_share_one_bound_and_give_it_back() -> None:
    reader = BodyReader(bytes_max=10)
    slow = Arriving(b"123456")
    reading = asyncio.create_task(reader.read({"content-length": "6"}, slow))
    await asyncio.sleep(0)
    with pytest.raises(Problem) as refused:
        await reader.read({"content-length": "5"}, _whole(b"12345"))
    assert (refused.value.status, refused.value.body.code) == (503, "too_busy")
    assert await reader.read({"content-length": "4"}, _whole(b"1234")) == b"1234"
    slow.ended.set()
    await reading
    assert await reader.read({"content-length": "10"}, _whole(b"1234567890")) == b"1234567890"

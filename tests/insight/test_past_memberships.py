"""Who was in what, of one person: the twin and ClickHouse answer alike, whatever was told."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from cohort_store.changes import ENTERED, LEFT, RESET, Change
from evaluator.clickhouse.past_memberships import ChangesReader
from evaluator.reading.past import RememberedChanges, Told
from processors.clickhouse.changes import ChangesTable
from tests.services.fixtures import ClickHouse

START = datetime(2026, 1, 12, 12, tzinfo=UTC)
MINUTES = 30


def at_ms(minute: int) -> int:
    return int((START + timedelta(minutes=minute)).timestamp() * 1_000)


def change(person: int | None, cohort: int, status: str, minute: int, sequence: int) -> Change:
    """A change of `p0`, `p1`, …, each in a shard of two; None: a reset of shard 0."""
    return Change(
        person_id="" if person is None else f"p{person}",
        team_id=0 if person is None else 1,
        cohort_id=cohort,
        status=status,
        last_updated=f"{START + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S}.000000",
        cohort=f"c{cohort}" if cohort else "",
        version=1,
        cause="event",
        shard=(person or 0) % 2,
        sequence=sequence,
    )


def drawn(seed: int) -> list[Change]:
    rng, changes = random.Random(seed), []
    for sequence in range(1, 120):
        minute = sequence * MINUTES // 120
        if rng.random() < 0.05:
            changes.append(change(None, 0, RESET, minute, sequence))
        else:
            one = change(rng.randrange(4), rng.choice((1, 2)), rng.choice((ENTERED, LEFT)), minute, sequence)
            changes += [one] * rng.choice((1, 1, 2))
    return changes


@pytest.mark.services
async def test_the_twin_and_clickhouse_tell_the_same_of_every_person_and_instant(
    clickhouse: ClickHouse, seed: int
) -> None:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    changes = drawn(seed)
    table, reader, twin = ChangesTable(url), ChangesReader(url), RememberedChanges(changes)
    assert await reader.told(1, "p0", at_ms(0)) == await RememberedChanges().told(1, "p0", at_ms(0)) == Told(None)
    await table.insert(random.Random(seed).sample(changes, len(changes)))
    for person in ("p0", "p1", "p2", "p3", "nobody"):
        for minute in range(-1, MINUTES + 2, 3):
            assert await reader.told(1, person, at_ms(minute)) == await twin.told(1, person, at_ms(minute))
    assert await reader.told(2, "p0", at_ms(MINUTES)) == await twin.told(2, "p0", at_ms(MINUTES)) == Told(None)
    await table.close()
    await reader.close()


async def test_what_was_told_last_by_an_instant_counts_and_nothing_below_a_reset() -> None:
    twin = RememberedChanges(
        [
            change(0, 1, ENTERED, 1, 10),
            change(0, 1, LEFT, 3, 11),
            change(0, 2, ENTERED, 3, 12),
            change(None, 0, RESET, 5, 13),
            change(0, 1, ENTERED, 5, 14),
        ]
    )
    for minute, members in ((0, {}), (1, {1: True}), (2, {1: True}), (3, {1: False, 2: True}), (5, {1: True})):
        assert await twin.told(1, "p0", at_ms(minute)) == Told(at_ms(1), members)

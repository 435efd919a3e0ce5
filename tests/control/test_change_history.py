"""The past, as the changes in ClickHouse tell it, beside a reader that follows the changes one by one."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from cohort_store.changes import ENTERED, LEFT, RESET, Change
from processors.clickhouse.change_history import Past, Stay, Turn, change_history
from processors.clickhouse.changes import ChangesTable
from tests.services.fixtures import ClickHouse

START = datetime(2026, 1, 12, 12, tzinfo=UTC)
SHARDS, PERSONS, COHORTS = 2, 6, (1, 2)
MINUTES = 40


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    return f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"


def at_ms(minute: float) -> int:
    return int((START + timedelta(minutes=minute)).timestamp() * 1_000)


def change(person: int | None, cohort: int, status: str, minute: int, sequence: int, cause: str = "event") -> Change:
    return Change(
        person_id="" if person is None else f"p{person}",
        team_id=0 if person is None else 1,
        cohort_id=cohort,
        status=status,
        last_updated=f"{START + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S}.000000",
        cohort=f"c{cohort}" if cohort else "",
        version=3,
        cause=cause,
        shard=0 if person is None else person % SHARDS,
        sequence=sequence,
    )


def drawn(seed: int) -> list[Change]:
    """Entries and exits of a few persons, some told twice, with now and then a reset of a shard."""
    rng, changes = random.Random(seed), []
    for sequence in range(1, 160):
        minute = sequence * MINUTES // 160
        if rng.random() < 0.04:
            changes.append(change(None, 0, RESET, minute, sequence))
        else:
            one = change(rng.randrange(PERSONS), rng.choice(COHORTS), rng.choice((ENTERED, LEFT)), minute, sequence)
            changes += [one] * rng.choice((1, 1, 2))
    return changes


def followed(changes: list[Change], until_ms: int) -> dict[tuple[int, str], str]:
    """What a reader holds who has followed the changes up to an instant."""
    held: dict[tuple[int, str], tuple[str, int]] = {}
    for each in changes:
        if datetime.fromisoformat(each.last_updated + "+00:00").timestamp() * 1_000 > until_ms:
            break
        if each.status == RESET:
            held = {key: found for key, found in held.items() if found[1] != each.shard}
        else:
            held[each.cohort_id, each.person_id] = (each.status, each.shard)
    return {key: status for key, (status, _) in held.items()}


@pytest.mark.parametrize("number", range(3))
async def test_the_past_is_what_a_reader_who_followed_the_changes_held_then(url: str, seed: int, number: int) -> None:
    changes = drawn(seed + number)
    table = ChangesTable(url)
    await table.insert(random.Random(seed).sample(changes, len(changes)))
    await table.close()
    instants = range(at_ms(-1), at_ms(MINUTES + 1) + 1, 60_000)
    async with change_history(url, 1) as history:
        for cohort in COHORTS:
            for complemented, wanted in ((False, ENTERED), (True, LEFT)):
                expected = [
                    sorted(p for (c, p), status in followed(changes, each).items() if c == cohort and status == wanted)
                    for each in instants
                ]
                for part in (slice(None), slice(10, 30, 3)):
                    sizes = await history.sizes(cohort, instants[part], complemented=complemented)
                    assert sizes == list(map(len, expected[part]))
                for each, persons in zip(instants[::7], expected[::7], strict=True):
                    for limit in (0, 2):
                        found = await history.told(cohort, each, complemented=complemented, limit=limit)
                        assert found == Past(len(persons), persons[:limit])


async def test_stays_have_two_ends_and_go_through_what_is_told_again(url: str) -> None:
    table = ChangesTable(url)
    await table.insert(
        [
            change(1, 1, ENTERED, 1, 10),
            change(1, 1, ENTERED, 2, 11, "reconcile"),
            change(None, 0, RESET, 3, 12),
            change(1, 1, ENTERED, 3, 13, "reconcile"),
            change(1, 1, LEFT, 5, 14, "timer"),
            change(1, 1, ENTERED, 7, 15),
            change(1, 2, LEFT, 6, 16),
            change(2, 1, ENTERED, 6, 17),
        ]
    )
    await table.close()
    async with change_history(url, 1) as history:
        assert await history.begins_ms() == at_ms(1)
        assert await history.stays("p1") == [
            Stay(1, "c1", Turn(at_ms(1), "event", 3), Turn(at_ms(5), "timer", 3)),
            Stay(1, "c1", Turn(at_ms(7), "event", 3), None),
            Stay(2, "c2", None, Turn(at_ms(6), "event", 3)),
        ]
        assert await history.stays("nobody") == []


async def test_where_nothing_was_ever_written_down_nothing_begins(url: str) -> None:
    async with change_history(url, 1) as history:
        assert await history.begins_ms() is None
    async with change_history(url, 2) as history:
        await ChangesTable(url).insert([change(1, 1, ENTERED, 1, 10)])
        assert await history.begins_ms() is None

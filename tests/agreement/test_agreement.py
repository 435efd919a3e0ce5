"""Live, backfilled, half of each, whatever happens on the way: not one wrong member, against brute force."""

import asyncio
import os

import pytest

from processors.backfill import owners, pace
from processors.membership import owner, sweeping
from processors.router import worker
from tests.agreement.play import Play
from tests.membership import virtual_time

RUNS = 200 if os.environ.get("MUSTER_TEST_PROFILE") == "long" else 10


def loop_time() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.fault
@pytest.mark.parametrize("number", range(RUNS))
def test_live_and_backfilled_agree_with_brute_force_through_edits_kills_rebalances_and_losses(
    number: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    play_seed = seed * 1_000 + number
    print(f"seed of this run: {play_seed}")  # noqa: T201
    play = Play(play_seed)
    monkeypatch.setattr(sweeping, "SWEEP_PAGE", 2)
    monkeypatch.setattr(sweeping, "SWEEP_MS_MAX", 0)
    monkeypatch.setattr(sweeping, "SWEEP_IDLE_MS_MAX", 0)
    monkeypatch.setattr(owner, "TELL_MAX", 2)
    monkeypatch.setattr(pace, "PIECE_PERSONS", 2)
    monkeypatch.setattr(owners, "PRUNED_BEFORE_MS", play.pruned_before_ms)
    monkeypatch.setattr(worker, "perf_counter", loop_time)
    virtual_time.run(play.run())

"""Whatever happens on the way, membership ends as the oracle has it, and so does what consumers were told."""

import os

import pytest

from processors.membership import owner, sweeping
from tests.membership import virtual_time
from tests.membership.play import Play

PROFILE = os.environ.get("MUSTER_TEST_PROFILE", "default")
RUNS = 600 if PROFILE == "long" else 50


@pytest.mark.fault
@pytest.mark.parametrize("number", range(RUNS))
def test_membership_and_the_change_stream_equal_the_oracle_after_any_trouble(
    number: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_PAGE", 2)
    monkeypatch.setattr(sweeping, "SWEEP_IDLE_MS_MAX", 0)
    monkeypatch.setattr(owner, "TELL_MAX", 2)
    monkeypatch.setattr(owner, "LANE_SHARDS_MIN", 1)
    play_seed = seed * 1_000 + number
    print(f"seed of this run: {play_seed}")  # noqa: T201
    virtual_time.run(Play(play_seed).run())

"""What every test shares: the Hypothesis profile and its seed, and which tests are for the long profile only.

MUSTER_TEST_PROFILE is one of ``default`` (300 examples a property), ``ci`` (the same) and ``long`` (20,000).
MUSTER_TEST_SEED repeats a run; without it a seed is drawn, and either way it is printed at the end.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, core, settings

pytest_plugins = ["tests.services.fixtures"]

PROFILE = os.environ.get("MUSTER_TEST_PROFILE", "default")
# Workers of pytest-xdist inherit the environment, so one seed serves the whole run.
SEED = int(os.environ.setdefault("MUSTER_TEST_SEED", str(random.SystemRandom().randrange(2**32))))


def _register_profiles() -> None:
    # Two cores are shared with real brokers: a slow example says nothing about the code.
    relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
    settings.register_profile("default", relaxed, max_examples=300)
    settings.register_profile("ci", relaxed, max_examples=300)
    settings.register_profile("long", relaxed, max_examples=20_000)
    settings.load_profile(PROFILE)


_register_profiles()


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--hypothesis-seed", None) is None:
        core.global_force_seed = SEED  # type: ignore[assignment]  # annotated as None where it is declared


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if PROFILE == "long":
        _keep_what_the_profile_lengthens(config, items)
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="runs with MUSTER_TEST_PROFILE=long"))


def _keep_what_the_profile_lengthens(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long profile is of properties, faults and what is too long for any other; the rest says the same in each."""
    others = [item for item in items if not _is_lengthened(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if _is_lengthened(item)]


def _is_lengthened(item: pytest.Item) -> bool:
    is_property = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return bool(is_property or item.get_closest_marker("fault") or item.get_closest_marker("long"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"profile {PROFILE}, seed {SEED} (MUSTER_TEST_SEED={SEED} repeats it)")


@pytest.fixture(scope="session")
def seed() -> int:
    """The run's seed, for tests that draw without Hypothesis."""
    return SEED

"""What hostile requests are sent at."""

import pytest

from cohort_store.registry import Registry
from tests.evaluator.building import registry_of
from tests.evaluator.ofrep.conftest import OFREP_FLAGS


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Flags of every kind."""
    return registry_of(OFREP_FLAGS)

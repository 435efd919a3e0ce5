"""What holds for all tests of the backfill."""

from collections.abc import Iterator

import pytest

from processors.backfill import pace


@pytest.fixture(autouse=True, scope="package")
def _no_rest() -> Iterator[None]:
    """Owners on memory need no rest, and clocks that a test steps would make it a long one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "REST", 0.0)
        yield

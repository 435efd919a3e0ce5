"""Programs of unmodified SDKs, run until a test ends."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.sdks.toolchains import TOOLCHAINS, Program, Toolchain, running

REQUIRED = os.environ.get("MUSTER_TEST_REQUIRE_SERVICES") == "1"

Start = Callable[..., Program]


def require(toolchain: Toolchain) -> None:
    """Skip the test, or fail it, where the toolchain is not here."""
    if reason := toolchain.missing():
        if REQUIRED:
            pytest.fail(f"{reason}, and MUSTER_TEST_REQUIRE_SERVICES=1 forbids to skip")
        pytest.skip(reason)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(language, sdk, environment)`` runs that SDK's program until the test ends."""
    with ExitStack() as programs:

        def begin(language: str, sdk: str, environment: Mapping[str, str] | None = None) -> Program:
            toolchain = TOOLCHAINS[language]
            require(toolchain)
            return programs.enter_context(running(toolchain, sdk, tmp_path / f"{language}-{sdk}.log", environment))

        yield begin

"""An evaluator over a view with people in it, and programs of unmodified SDKs that ask it."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.sdks.toolchains import TOOLCHAINS, Program, running

REQUIRED = os.environ.get("MUSTER_TEST_REQUIRE_SERVICES") == "1"

Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(language, sdk, environment)`` runs that SDK's program until the test ends."""
    with ExitStack() as programs:

        def begin(language: str, sdk: str, environment: Mapping[str, str] | None = None) -> Program:
            toolchain = TOOLCHAINS[language]
            if reason := toolchain.missing():
                if REQUIRED:
                    pytest.fail(f"{reason}, and MUSTER_TEST_REQUIRE_SERVICES=1 forbids to skip")
                pytest.skip(reason)
            return programs.enter_context(running(toolchain, sdk, tmp_path / f"{language}-{sdk}.log", environment))

        yield begin

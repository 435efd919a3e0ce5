"""The examples of docs/sdks-ofrep.md do what they show, as they stand there."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from processors.embedded.view import EmbeddedView
from tests.architecture.source_tree import ROOT
from tests.evaluator.building import flag, person_is, registry_of, variants
from tests.evaluator.conftest import publish
from tests.evaluator.serving import TOKEN, Evaluator, serving
from tests.sdks.conftest import require
from tests.sdks.toolchains import TOOLCHAINS
from tests.services.redis_servers import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs" / "sdks-ofrep.md").read_text()
EXAMPLES = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
FLAGS = (
    flag("new-search", {"properties": [person_is("plan", "exact", "pro")]}),
    flag("search-colour", {"variant": "red"}, multivariate=variants(red=50, blue=50)),
)
RUN_DEADLINE_S = 120
LINES_MAX = 10
FRAME = re.compile(r"\s*(import\b|from\b|public (class|static)|[()}\]]*$)")


class Runner(NamedTuple):
    """How an example is run: its language's toolchain, its file, and the command beside the built packages."""

    language: str
    file: str
    command: Callable[[Path], list[str]]


RUNNERS: Mapping[str, Runner] = {
    "python": Runner("python", "example.py", lambda _built: [sys.executable, "example.py"]),
    "js": Runner("node", "example.mjs", lambda _built: ["node", "example.mjs"]),
    "java": Runner("java", "Example.java", lambda built: ["java", "-cp", f"{built}/lib/*", "Example.java"]),
}


@pytest.fixture
def evaluator(tmp_path: Path, view_server: EmbeddedView | RedisServer) -> Iterator[Evaluator]:
    asyncio.run(publish(view_server.url, registry_of(FLAGS)))
    with serving(tmp_path, view_server.url) as running:
        running.until(lambda: "new-search" in running.flags("ada")["flags"])
        yield running


def test_every_language_has_an_example_of_ten_lines_at_most() -> None:
    assert set(EXAMPLES) == set(RUNNERS)
    for text in EXAMPLES.values():
        lines = [line for line in text.splitlines() if line.strip() and not FRAME.match(line)]
        assert len(lines) <= LINES_MAX, lines


@pytest.mark.usefixtures("view_url")
@pytest.mark.parametrize("name", RUNNERS)
def test_an_example_sees_a_flag_and_a_variant(name: str, evaluator: Evaluator, tmp_path: Path) -> None:
    runner = RUNNERS[name]
    require(TOOLCHAINS[runner.language])
    built = TOOLCHAINS[runner.language].built()
    folder = tmp_path / "example"
    folder.mkdir()
    if (built / "node_modules").exists():
        (folder / "node_modules").symlink_to(built / "node_modules")
    text = EXAMPLES[name].replace("http://127.0.0.1:8300", evaluator.url).replace("phc_muster", TOKEN)
    (folder / runner.file).write_text(text)
    done = subprocess.run(
        runner.command(built), check=False, cwd=folder, capture_output=True, text=True, timeout=RUN_DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
    assert "new search red" in done.stdout.splitlines(), done.stdout + done.stderr

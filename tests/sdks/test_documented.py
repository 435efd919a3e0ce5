"""The examples of docs/sdks.md do what they show, as they stand there."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cohort_store.kafka.topics import EVENTS, ensure_topics, muster_topics
from processors.embedded.view import EmbeddedView
from tests.architecture.source_tree import ROOT
from tests.evaluator.building import flag, registry_of
from tests.evaluator.conftest import publish
from tests.evaluator.serving import SECRET, TOKEN, Evaluator, serving
from tests.sdks.conftest import require
from tests.sdks.toolchains import TOOLCHAINS
from tests.sdks.topics import messages_of
from tests.services.redis_servers import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(600)]

FLAG = flag("new-search", {}, payloads={"true": {"size": 3}})
EXAMPLES = dict(re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "sdks.md").read_text(), re.DOTALL | re.MULTILINE))
RUN_DEADLINE_S = 120
LINES_MAX = 10
FRAME = re.compile(r"\s*(import\b|from\b|package\b|public (class|static)|func main|[()}\]]*$|\"[\w./-]+\"$)")


@dataclass(frozen=True, slots=True)
class Runner:
    """How an example is run: the name of its file, and the command, in a folder beside the built packages."""

    language: str
    file: str
    command: Callable[[Path], list[str]]


RUNNERS: Mapping[str, Runner] = {
    "python": Runner("python", "example.py", lambda _built: [sys.executable, "example.py"]),
    "js": Runner("node", "example.mjs", lambda _built: ["node", "example.mjs"]),
    "go": Runner("go", "main.go", lambda _built: ["go", "run", "."]),
    "java": Runner("java", "Example.java", lambda built: ["java", "-cp", f"{built}/lib/*", "Example.java"]),
}


@pytest.fixture
def evaluator(tmp_path: Path, view_server: EmbeddedView | RedisServer, fresh_broker: str) -> Iterator[Evaluator]:
    asyncio.run(ensure_topics(fresh_broker, muster_topics(2)))
    asyncio.run(publish(view_server.url, registry_of([FLAG])))
    with serving(tmp_path, view_server.url, settings={"MUSTER_KAFKA": fresh_broker}) as running:
        running.until(lambda: "new-search" in running.flags("ada")["flags"])
        yield running


def test_every_language_has_an_example() -> None:
    assert set(EXAMPLES) == set(RUNNERS)
    assert {runner.language for runner in RUNNERS.values()} == set(TOOLCHAINS)


@pytest.mark.parametrize("name", RUNNERS)
def test_an_example_is_ten_lines_at_most(name: str) -> None:
    lines = [line for line in EXAMPLES[name].splitlines() if line.strip() and not FRAME.match(line)]
    assert len(lines) <= LINES_MAX, lines


@pytest.mark.parametrize("name", RUNNERS)
def test_an_example_sees_a_flag_and_its_event_comes_out_in_kafka(
    name: str, evaluator: Evaluator, fresh_broker: str, tmp_path: Path
) -> None:
    runner = RUNNERS[name]
    require(TOOLCHAINS[runner.language])
    built = TOOLCHAINS[runner.language].built()
    folder = tmp_path / "example"
    folder.mkdir()
    if (built / "node_modules").exists():
        (folder / "node_modules").symlink_to(built / "node_modules")
    for pinned in built.glob("go.*"):
        shutil.copy(pinned, folder)
    text = EXAMPLES[name]
    for shown, real in (("http://127.0.0.1:8300", evaluator.url), ("phc_muster", TOKEN), ("mus_secret", SECRET)):
        assert shown in text
        text = text.replace(shown, real)
    (folder / runner.file).write_text(text)
    done = subprocess.run(
        runner.command(built), check=False, cwd=folder, capture_output=True, text=True, timeout=RUN_DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("new search ")]
    assert len(said) == 1, done.stdout + done.stderr
    assert re.fullmatch(r"new search \{.size.: ?3(\.0)?\}", said[0])
    _eventually(lambda: ("search", "ada") in _sent(fresh_broker))


def _sent(bootstrap: str) -> set[tuple[str, str]]:
    found = [json.loads(each.value) for each in asyncio.run(messages_of(bootstrap, EVENTS))]
    return {(each["event"], each["distinct_id"]) for each in found}


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RUN_DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)

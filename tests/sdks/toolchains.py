"""Programs in other languages, over unmodified SDKs: built once, kept in the cache, talked to in lines of JSON.

A folder beside this file holds one language's programs and pins their packages. It is copied and built into
``~/.cache/muster/sdks-<hash of its files>``, so a run builds only what changed. A program reads one JSON object a line
and answers each with one; ``{"error": ...}`` fails the test. It ends when its input does.

A tool that this machine lacks skips the tests, or fails them where MUSTER_TEST_REQUIRE_SERVICES=1.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUILD_DEADLINE_S = 600
ANSWER_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
FOLDER = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muster"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """How one language's folder is built, and how a program of it is run. Programs are named by their SDK."""

    language: str
    tools: tuple[str, ...]
    build: Callable[[Path], None]
    command: Callable[[Path, str], list[str]]

    def missing(self) -> str:
        """Why nothing can be built here, empty if it can."""
        absent = [tool for tool in self.tools if shutil.which(tool) is None]
        return f"no {' and no '.join(absent)} on PATH: .ci/run installs them" if absent else ""

    def built(self) -> Path:
        """The built folder; processes that ask at the same time wait for the first."""
        sources = sorted(path for path in (FOLDER / self.language).rglob("*") if path.is_file())
        content = hashlib.sha256()
        for path in sources:
            content.update(f"{path.relative_to(FOLDER)}\0".encode() + path.read_bytes())
        target = CACHE / f"sdks-{self.language}-{content.hexdigest()[:16]}"
        CACHE.mkdir(parents=True, exist_ok=True)
        with target.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (target / ".complete").exists():
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(FOLDER / self.language, target)
                self.build(target)
                (target / ".complete").touch()
        return target


def run(folder: Path, *command: str) -> None:
    """Run a tool in a folder; an AssertionError with what it said where it fails."""
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_DEADLINE_S,
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}"


def _build_node(folder: Path) -> None:
    run(folder, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")


def _build_go(folder: Path) -> None:
    (folder / "bin").mkdir()
    run(folder, "go", "build", "-mod=readonly", "-o", "bin/", "./...")


def _build_java(folder: Path) -> None:
    maven = ("mvn", "--batch-mode", "--quiet", "dependency:copy-dependencies")
    run(folder, *maven, "-DincludeScope=runtime", "-DoutputDirectory=lib")
    run(folder, "javac", "-cp", "lib/*", "-d", "classes", *(path.name for path in folder.glob("*.java")))


def _nothing(_folder: Path) -> None:
    """Python's SDKs are installed with the other tools."""


TOOLCHAINS: Mapping[str, Toolchain] = {
    each.language: each
    for each in (
        Toolchain("python", (), _nothing, lambda folder, sdk: [sys.executable, f"{folder}/{sdk}_program.py"]),
        Toolchain("node", ("node", "npm"), _build_node, lambda folder, sdk: ["node", f"{folder}/{sdk}.mjs"]),
        Toolchain("go", ("go",), _build_go, lambda folder, sdk: [f"{folder}/bin/{sdk}"]),
        Toolchain(
            "java",
            ("javac", "java", "mvn"),
            _build_java,
            lambda folder, sdk: [
                "java",
                "-Xmx128m",
                "-cp",
                f"{folder}/classes:{folder}/lib/*",
                f"{sdk.title()}Program",
            ],
        ),
    )
}


class Program:
    """One running program: a question, its answer, and so on."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self._reading = ThreadPoolExecutor(1)

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """The answer to one request; an AssertionError with the program's log where there is none."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"do": do, **fields}) + "\n")
        stdin.flush()
        line = self._reading.submit(stdout.readline).result(ANSWER_DEADLINE_S)
        assert line, f"the program ended; its log:\n{self._log.read_text()}"
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, f"{answer['error']}\n{self._log.read_text()}"
        return answer

    def stop(self) -> None:
        """Let it end by itself, insist after a deadline."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._reading.shutdown()


@contextmanager
def running(
    toolchain: Toolchain, sdk: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """A program of that SDK, from its start to its end."""
    command = toolchain.command(toolchain.built(), sdk)
    with log.open("a") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    program = Program(process, log)
    try:
        yield program
    finally:
        program.stop()

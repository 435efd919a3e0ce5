"""Every module says what it is, reads no clock of its own, and opens nothing when it is imported."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, Source, sources

CLOCK_MODULE = "cohort_store/clocks.py"
# Deadlines and pauses of shells run on the monotonic clock; which instant it is comes from a Clock alone.
WALL_CLOCKS = {
    "time": {"time", "time_ns", "gmtime", "localtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


def _clock_calls(source: Source) -> Iterator[str]:
    names = {"time", "datetime", "date"} | {
        alias.asname or alias.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name in WALL_CLOCKS["time"]
    }
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case (
                ast.Attribute(value=ast.Name(id=owner), attr=method)
                | ast.Attribute(value=ast.Attribute(attr=owner), attr=method)
            ) if method in WALL_CLOCKS.get(owner, ()):
                yield f"{source.path}:{node.lineno} calls {owner}.{method}"
            case ast.Name(id=name) if name in names - {"time", "datetime", "date"}:
                yield f"{source.path}:{node.lineno} calls {name}"


def test_every_module_has_a_docstring() -> None:
    assert [source.path for source in sources() if not ast.get_docstring(source.tree)] == []


def test_the_wall_clock_is_read_in_one_module_only() -> None:
    wrong = [call for source in sources() if source.path != CLOCK_MODULE for call in _clock_calls(source)]
    assert wrong == []


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {source.path: len((ROOT / source.path).read_text().splitlines()) for source in sources()}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_sixty_lines() -> None:
    wrong = [
        f"{source.path}:{node.lineno} {node.name} has {(node.end_lineno or 0) - node.lineno + 1} lines"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 60
    ]
    assert wrong == []


# Runs in an interpreter of its own. Library imports may read their own package's files, so only what
# Muster's own modules do while they are imported is judged: the frame that asks is looked up.
_IMPORT_ALL = """
import importlib, json, os, sys, threading
root, modules = sys.argv[1], sys.argv[2:]
wrong = []

def asked_by_muster():
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "importlib" in name or "site-packages" in name or os.sep + "lib" + os.sep in name:
            if "importlib" in name:
                return None
        elif name.startswith(root + os.sep) and not name.startswith(os.path.join(root, ".venv")):
            return f"{os.path.relpath(name, root)}:{frame.f_lineno}"
        frame = frame.f_back
    return None

WATCHED = {"open", "socket.__new__", "socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir", "os.fork",
           "os.putenv", "sqlite3.connect"}

def hook(event, arguments):
    if event in WATCHED and (where := asked_by_muster()):
        wrong.append(f"{where} does {event} {arguments[:1]!r}")

def start(thread):  # older interpreters announce no thread to their hooks
    if where := asked_by_muster():
        wrong.append(f"{where} does start {thread!r}")
    original_start(thread)

sys.addaudithook(hook)
original_start, threading.Thread.start = threading.Thread.start, start
before = threading.active_count()
for module in modules:
    importlib.import_module(module)
print(json.dumps({"wrong": wrong, "threads": threading.active_count() - before}))
"""


def _import_watched(root: Path, modules: list[str]) -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, str(root), *modules], cwd=root, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    report: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return report


def test_importing_a_module_opens_no_file_socket_process_or_thread() -> None:
    modules = [source.module for source in sources() if not source.module.endswith("__main__")]
    assert _import_watched(ROOT, modules) == {"wrong": [], "threads": 0}


@pytest.mark.parametrize(
    "statement",
    [
        "open(__file__).close()",
        "from pathlib import Path; Path(__file__).read_text()",
        "import socket; socket.socket().close()",
        "import subprocess; subprocess.run(['true'])",
        "import threading; threading.Thread(target=int).start()",
    ],
)
def test_the_watch_over_imports_sees_what_it_is_there_for(tmp_path: Path, statement: str) -> None:
    (tmp_path / "opener.py").write_text(statement + "\n")
    wrong = _import_watched(tmp_path, ["opener"])["wrong"]
    assert isinstance(wrong, list)
    assert any("opener.py:1 does" in line for line in wrong)

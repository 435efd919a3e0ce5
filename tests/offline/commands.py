"""Runs a command of the real command line in this process, and reads what it prints."""

import contextlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from processors.cli.application import run


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


def command(*arguments: str | Path) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run([str(each) for each in arguments])
    return Ran(status, out.getvalue(), err.getvalue())


def jsonl(path: Path, rows: Iterable[Mapping[str, Any] | str]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def cohorts_file(path: Path, cohorts: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text(json.dumps({"cohorts": list(cohorts)}))
    return path

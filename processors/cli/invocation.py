"""What every command shares: which settings apply, how answers leave, and what the exit status means.

Exit status: 0 done; 1 refused or failed, with the reason on stderr; 2 wrong usage or wrong settings. Where scripts are
helped by it: 3 somebody else cancelled it; 4 there was nothing to do.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tomllib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console

from cohort_store.errors import MusterError
from cohort_store.settings import Settings
from cohort_store.subjects import ID_BYTES_MAX
from processors.up.configuration import live_configuration

FAILED, USAGE, CANCELLED, NOTHING = 1, 2, 3, 4
WIDTH_ELSEWHERE = 200
CONFIG = "MUSTER_CONFIG"
DATA_DIR = "MUSTER_DATA_DIR"

TEAM_DEFAULT = 1

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Team = Annotated[int, typer.Option("--team", min=1, metavar="N", help="The team that is meant.")]
T = TypeVar("T")
_LOGIN = re.compile(r"[^/'\"\s,]*@")
"""Of an address: it may hold a password."""


class Failed(MusterError):
    """The command could not do what it was asked for; the message says why, and what to do."""


class WrongSettings(MusterError):
    """A setting has a value that does not fit; the message names it."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of the command. `data` is the folder of a `muster up` that the user named."""

    data: Path | None = None
    as_json: bool = False
    errors: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, emoji=False))

    def settings(self) -> Settings:
        """The settings that apply here. Raises WrongSettings.

        Environment variables stand above the file, and the file is the first of: the folder named by --data, what
        MUSTER_CONFIG names, ./muster.toml, and that of a `muster up` that runs on the data folder.
        """
        self._choose_file()
        return load_settings()

    def answer(self, plain: Any, show: Callable[[Console], None]) -> None:
        """Print `plain` as one line of JSON, or let `show` print for people."""
        if self.as_json:
            print_json(plain)
        else:
            show(output())

    def _choose_file(self) -> None:
        if self.data is not None:
            path = live_configuration(self.data)
            if path is None:
                raise WrongSettings(f"no `muster up` runs on {self.data}: start one with muster up --data {self.data}")
            os.environ[CONFIG] = str(path)
        elif CONFIG not in os.environ and not Path("muster.toml").exists():
            path = live_configuration(Path(os.environ.get(DATA_DIR, Settings.model_fields["data_dir"].default)))
            if path is not None:
                os.environ[CONFIG] = str(path)


def output() -> Console:
    """Where answers for people go; as wide as need be where that is no terminal."""
    is_terminal = sys.stdout.isatty()
    return Console(
        highlight=False, emoji=False, soft_wrap=not is_terminal, width=None if is_terminal else WIDTH_ELSEWHERE
    )


def load_settings(**chosen: Any) -> Settings:
    """Settings with `chosen` above environment and file. Raises WrongSettings, which names what does not fit."""
    path = os.environ.get(CONFIG)
    if path is not None and not Path(path).is_file():
        raise WrongSettings(f"{CONFIG} names {path}, and there is no such file: correct or unset it")
    try:
        return Settings(**chosen)
    except ValidationError as error:
        raise WrongSettings("\n".join(_sentence(found) for found in error.errors(include_url=False))) from None
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise WrongSettings(f"settings cannot be read: {error}{cause}") from None


def invocation(context: typer.Context, as_json: bool = False) -> Invocation:
    """The invocation that the main command prepared, with --json where the command itself was given it."""
    before = context.ensure_object(Invocation)
    return Invocation(before.data, before.as_json or as_json, before.errors)


def subject_id(text: str) -> str:
    """An id that somebody can have. Raises BadParameter, which is wrong usage."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise typer.BadParameter("it is not UTF-8; give the id as it stands in the events", param_hint="ID") from None
    if not 1 <= length <= ID_BYTES_MAX:
        raise typer.BadParameter(f"it has {length} bytes; an id has 1 to {ID_BYTES_MAX}", param_hint="ID")
    return text


def warn(shared: Invocation, warnings: Sequence[str]) -> None:
    """What the user should know of her files, on stderr, a line each."""
    for warning in warnings:
        shared.errors.print(f"warning: {warning}", soft_wrap=True, markup=False)


def print_json(plain: Any) -> None:
    """One value as one line on stdout, written at once."""
    sys.stdout.write(msgspec.json.encode(plain).decode() + "\n")
    sys.stdout.flush()


def run_async(task: Coroutine[Any, Any, T]) -> T:
    """Run to the end; SIGTERM cancels it as Ctrl-C does. Its Kafka clients ask about topics as roles' do."""
    # Commands that need files alone do without Kafka's client.
    from cohort_store.kafka import metadata

    metadata.enable()

    async def until_told() -> T:
        loop = asyncio.get_running_loop()
        running = asyncio.ensure_future(task)
        loop.add_signal_handler(signal.SIGTERM, running.cancel)
        return await running

    try:
        return asyncio.run(until_told())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _sentence(found: Any) -> str:
    name = str(found["loc"][0]) if found["loc"] else ""
    inner = "".join(f"[{step!r}]" for step in found["loc"][1:])
    if found["type"] == "extra_forbidden":
        file = os.environ.get(CONFIG, "muster.toml")
        if inner:
            return f"setting MUSTER_{name.upper()}{inner} (or in {file}) is none that Muster knows: check its spelling"
        return f"{file} has a setting {name!r}, which Muster does not know: remove it or check its spelling"
    where = f"setting MUSTER_{name.upper()}{inner} (or {name} in muster.toml)"
    got = _LOGIN.sub("…@", repr(found.get("input")))
    return f"{where}: {found['msg'].removeprefix('Value error, ')}, got {got:.80}"

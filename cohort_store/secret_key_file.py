"""The owner's secret key in a file: what `muster up` makes, and what an installation may be given as a mounted secret.

It opens everything for team 1 and stands in no registry, so it works before any key was made and while nothing else
does. Whoever can read the file is the owner: it is written for its user alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from cohort_store.errors import Crash

FILE_NAME = "secret-key"
"""Its name in a data folder."""
CHARACTERS_MIN, CHARACTERS_MAX = 32, 256
"""Fewer can be guessed; more are another file."""


def read_secret_key(path: Path) -> str:
    """The key. Raises Crash where there is none, or what is there is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise Crash(
            f"the secret key in {path} cannot be read ({reason}): let MUSTER_SECRET_KEY_FILE name a file with one, "
            "or leave it empty"
        ) from None
    if not CHARACTERS_MIN <= len(text) <= CHARACTERS_MAX or not text.isprintable() or " " in text:
        raise Crash(
            f"{path} holds {len(text)} characters, which are no secret key: write {CHARACTERS_MIN} to {CHARACTERS_MAX} "
            "random letters and digits in one line, as `openssl rand -hex 32` gives them"
        )
    return text


def keep_secret_key(path: Path, fresh: str) -> str:
    """The key that the file holds already, else `fresh`, which it holds from now on, readable by its user alone."""
    if not path.exists():
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(fresh + "\n")
        unfinished.replace(path)
    return read_secret_key(path)

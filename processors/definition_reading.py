"""Definitions files from the disk: the one way in which every command reads them.

A file named `*.test.yaml` (or `.yml`, `.json`) holds cases for `muster test` and defines nothing, so that
`muster apply definitions/*.yaml` may stand beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cohort_store.definition_files import Definitions, read_definitions
from cohort_store.definition_text import FILE_BYTES_MAX, DefinitionText
from cohort_store.errors import BadDefinition

_TEST_FILE = re.compile(r".+\.test\.(yaml|yml|json)", re.IGNORECASE)


def read_definition_files(files: Sequence[Path]) -> Definitions:
    """What the files define, as one whole; files of tests among them are passed over.

    Raises BadDefinition for the first thing that is wrong, and where nothing but tests is named.
    """
    wanted = [file for file in files if not is_test_file(file)]
    if files and not wanted:
        raise BadDefinition(str(files[0]), "this file holds tests and defines nothing; name the definitions too")
    return read_definitions([text_of(file) for file in wanted])


def is_test_file(file: Path) -> bool:
    """By the name."""
    return _TEST_FILE.fullmatch(file.name) is not None


def test_files_of(paths: Sequence[Path]) -> list[Path]:
    """The files that are named, and in place of each folder the files of tests in it and below, by name.

    Raises BadDefinition for a folder without any.
    """
    return [file for path in paths for file in (_tests_below(path) if path.is_dir() else [path])]


def _tests_below(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.rglob("*.test.*") if is_test_file(file) and file.is_file())
    if not found:
        raise BadDefinition(str(folder), "no file of tests is in this folder; name one *.test.yaml")
    return found


def text_of(file: Path) -> DefinitionText:
    """One file. Raises BadDefinition where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return DefinitionText(str(file), opened.read(FILE_BYTES_MAX + 1))
    except OSError as error:
        raise BadDefinition(str(file), f"cannot be read ({error.strerror}); name a file that is there") from None

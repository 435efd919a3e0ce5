"""Muster's source files, read as text and syntax trees, for the tests of its architecture."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cohort_store", "evaluator", "processors")


@dataclass(frozen=True, slots=True)
class Import:
    """A module that a file imports, anywhere in it, and the line where it does."""

    module: str
    line: int

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class Source:
    """One file: ``path`` relative to the repository, ``module`` as it is imported."""

    path: str
    module: str
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    def imports(self) -> Iterator[Import]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield Import(self._absolute(node), node.lineno)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        parents = self.module.split(".") + ([""] if self.path.endswith("__init__.py") else [])
        return ".".join([*parents[: -node.level], *([node.module] if node.module else [])])


@cache
def sources() -> tuple[Source, ...]:
    """Every module of the three packages."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> Source:
    relative = path.relative_to(ROOT)
    parts = relative.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Source(relative.as_posix(), module, ast.parse(path.read_text(), filename=str(relative)))

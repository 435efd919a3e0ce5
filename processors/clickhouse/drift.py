"""The table `drift`: how stored membership agreed with the history, a row a cohort and reconciliation.

It names nobody who was forgotten since (forgotten.py).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from cohort_store.clickhouse.client import connected
from cohort_store.forgetting import Forgettings
from cohort_store.subjects import PERSON, Subject
from processors.clickhouse.forgotten import ForgottenTable
from processors.reconcile.ports import Agreement

TABLE = "drift"
NAMED_MAX = 100
"""Persons that a row names."""

CREATE_SQL = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    at DateTime64(3, 'UTC') COMMENT 'the instant that both sides were compared at',
    team UInt32,
    cohort UInt64 COMMENT 'the cohort''s stable id',
    cohort_key LowCardinality(String),
    version UInt32,
    compared UInt64 COMMENT 'persons',
    in_flight UInt64 COMMENT 'persons of whom events kept coming, so that nothing can be said',
    drifted UInt64 COMMENT 'persons of whom the two sides say different things',
    repaired UInt64 COMMENT 'of those, how many do no more',
    persons Array(String) COMMENT 'the first {NAMED_MAX} of those',
    kinds Array(LowCardinality(String)) COMMENT 'stored, now or later: where each differs'
) ENGINE = ReplacingMergeTree
ORDER BY (team, cohort, version, at)
"""
_COLUMNS = (
    "at",
    "team",
    "cohort",
    "cohort_key",
    "version",
    "compared",
    "in_flight",
    "drifted",
    "repaired",
    "persons",
    "kinds",
)


class DriftTable:
    """See ``processors.reconcile.ports.Book``."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def write(self, agreements: Collection[Agreement]) -> None:
        """Add a row for each that was compared."""
        judged = [each for each in agreements if not each.not_judged]
        if judged:
            table = ForgottenTable(self._url)
            try:
                forgotten = await table.read()
            finally:
                await table.close()
            rows = [_row(each, forgotten) for each in judged]
            async with connected(self._url) as client:
                await client.command(CREATE_SQL)
                await client.insert(TABLE, rows, column_names=_COLUMNS)


def _row(agreement: Agreement, forgotten: Forgettings) -> tuple[Any, ...]:
    named = [
        each
        for each in agreement.drifted[:NAMED_MAX]
        if not forgotten.was(Subject(agreement.team, PERSON, each.person), each.at_ms)
    ]
    return (
        datetime.fromtimestamp(agreement.at_ms / 1_000, UTC),
        agreement.team,
        agreement.id,
        agreement.key,
        agreement.version,
        agreement.persons,
        agreement.in_flight,
        len(agreement.drifted),
        sum(each.repaired for each in agreement.drifted),
        [each.person for each in named],
        [each.kind for each in named],
    )

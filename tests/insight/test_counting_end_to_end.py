"""From a request to a row: a real evaluator, broker, control and ClickHouse."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cohort_store.clickhouse.flag_evaluations import EvaluationsTable
from cohort_store.flag_evaluations import CallRecord
from processors.definitions_log import apply
from tests.control.control_process import ControlProcess, control_settings, eventually
from tests.evaluator.building import SHARDS, flag, variants
from tests.evaluator.serving import Evaluator
from tests.services.fixtures import ClickHouse

FLAGS = (flag("plain", {}), flag("colours", {}, multivariate=variants(red=100)), flag("off", {}, active=False))


@pytest.mark.slow
@pytest.mark.services
async def test_what_an_evaluator_answered_is_counted_in_clickhouse_by_control(
    fresh_broker: str, view_url: str, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    settings = control_settings(fresh_broker, view_url, tmp_path / "data", clickhouse=url, shards=SHARDS)
    evaluator = Evaluator(tmp_path, view_url, "system", MUSTER_KAFKA=fresh_broker, MUSTER_EVALUATIONS_INTERVAL_S="0.5")
    table = EvaluationsTable(url)
    with ControlProcess(settings, tmp_path / "control.log"):
        file = tmp_path / "flags.json"
        file.write_bytes(msgspec.json.encode({"flags": FLAGS}))
        await apply(settings, [file], prune=False, dry_run=False)
        evaluator.process.start()
        try:
            await asyncio.to_thread(evaluator.until, lambda: evaluator.get("/flags/stale")["looked_at"] == len(FLAGS))
            for number in range(7):
                await asyncio.to_thread(evaluator.flags, f"p{number}")
            found = await eventually(lambda: table.calls(1, 0), seven_of_each)
        finally:
            evaluator.process.stop()
            await table.close()
    assert [(each.flag, each.value, each.reason) for each in found.calls] == [
        ("colours", "red", "condition_match"),
        ("off", "false", "flag_disabled"),
        ("plain", "true", "condition_match"),
    ]


def seven_of_each(record: CallRecord) -> Any:
    return [each.total for each in record.calls] == [7, 7, 7]

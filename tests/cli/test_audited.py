"""What is told of an administrative act, however it ends."""

import json
from typing import Any

import pytest
import typer

from cohort_store.errors import BadDefinition, Crash, Retry
from cohort_store.kafka.topics import AUDIT, ensure_topics, muster_topics
from cohort_store.settings import Settings
from processors.access.audit import Act, read_account
from processors.cli.audited import audited
from processors.cli.invocation import Failed, Invocation
from processors.embedded.child import choose_port
from processors.kafka.single_partition import SinglePartitionLog

ENDS = [
    (None, "done"),
    (typer.Exit(4), "done"),
    (BadDefinition("", "no cohort"), "refused"),
    (Failed("nothing was erased"), "refused"),
    (Retry("no broker"), "failed"),
    (Crash("broken"), "failed"),
    (KeyboardInterrupt(), "left"),
]


def act(settings: Settings, end: BaseException | None) -> None:
    with audited(Invocation(), settings, Act.APPLY, 3, prune=True) as account:
        account.about["apply"] = "a1"
        if end is not None:
            raise end


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("audit: ")]
    found: dict[str, Any] = json.loads(line.removeprefix("audit: "))
    return found


@pytest.mark.services
@pytest.mark.parametrize(("end", "outcome"), ENDS, ids=lambda each: type(each).__name__)
def test_an_act_is_told_of_on_stderr_and_kept_with_how_it_ended(
    broker: str, capsys: pytest.CaptureFixture[str], end: BaseException | None, outcome: str
) -> None:
    if end is None:
        act(Settings(kafka=broker), None)
    else:
        with pytest.raises(type(end)):
            act(Settings(kafka=broker), end)
    line = told(capsys)
    assert (line["act"], line["team"], line["outcome"]) == ("apply", 3, outcome)
    assert line["about"] == {"prune": True, "apply": "a1"}
    assert "@" in line["by"]
    assert line.get("error", "") == (str(end) if outcome in ("refused", "failed") else "")


@pytest.mark.services
async def test_the_account_is_read_in_order_and_lines_of_a_newer_version_are_left_out(broker: str) -> None:
    await ensure_topics(broker, [spec for spec in muster_topics() if spec.name == AUDIT])
    async with SinglePartitionLog(broker, AUDIT) as log:
        before = len(await read_account(log))
        await log.append([(b"act", b'{"act": "fly"}'), (b"act", b"no JSON")])
        line = b'{"at": "now", "act": "forget", "by": "ann@host", "outcome": "done"}'
        await log.append([(b"act", line)])
        assert [each.act for each in await read_account(log)] == [Act.FORGET]
    async with SinglePartitionLog(broker, AUDIT) as again:
        assert len(await read_account(again)) == before + 1


def test_where_kafka_is_away_the_act_stands_and_a_warning_says_that_its_line_is_not_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    act(Settings(kafka=f"127.0.0.1:{choose_port(None)}"), None)
    said = capsys.readouterr().err
    assert "warning: the account of this is not in muster.audit" in said
    assert 'audit: {"at":' in said

"""An SDK's own events come out in Kafka, and turn its flags: through `muster up`, every role of it."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cohort_store.kafka.topics import EVENTS
from tests.cli.test_up import END_S_MAX, Up
from tests.cli.test_up import pytestmark as of_up
from tests.cli.test_up import start as start_up
from tests.evaluator.building import flag, in_cohort
from tests.sdks.conftest import Start
from tests.sdks.toolchains import TOOLCHAINS
from tests.sdks.topics import messages_of

pytestmark = [pytest.mark.slow, *of_up, pytest.mark.timeout(600)]

TOKEN = "phc_test"
DEADLINE_S = 60.0
COHORT = {
    "key": "searching",
    "when": {
        "all": [
            {"kind": "performed", "event": "search", "within": "1d"},
            {"not": {"kind": "performed", "event": "found it", "within": "1d"}},
        ]
    },
}
FLAG = flag("help", {"properties": [in_cohort("searching")]})
PROTOCOLS = [(language, "v0") for language in TOOLCHAINS] + [("python", "v1"), ("node", "v1")]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    running = start_up(folder, MUSTER_TOKENS=json.dumps({TOKEN: 1}))
    try:
        (folder / "definitions.json").write_text(json.dumps({"cohorts": [COHORT], "flags": [FLAG]}))
        done = running.muster("apply", str(folder / "definitions.json"))
        assert done.returncode == 0, done.stderr
        yield running
    finally:
        running.process.terminate()
        running.process.wait(END_S_MAX)


@pytest.mark.parametrize(("language", "protocol"), PROTOCOLS)
def test_an_event_that_an_sdk_sends_turns_a_flag_on_and_another_one_turns_it_off(
    language: str, protocol: str, start: Start, up: Up
) -> None:
    person = f"{language}-{protocol}"
    sdk = start(language, "posthog", {"POSTHOG_CAPTURE_MODE": protocol})
    secret = (up.folder / "muster-data" / "secret-key").read_text().strip()
    sdk.ask("open", host=up.addresses["evaluator"], token=TOKEN, secret=secret, poll_ms=30_000)

    def is_on() -> bool:
        # Each time: a flush right behind a capture may find nothing yet.
        sdk.ask("flush")
        return sdk.ask("flag", key="help", person=person, properties={})["value"] is True

    def send(event: str) -> None:
        sdk.ask("capture", event=event, person=person, properties={"query": "naïve ☂"})

    assert not is_on()
    send("search")
    _eventually(is_on)
    send("found it")
    _eventually(lambda: not is_on())
    messages = [json.loads(each.value) for each in asyncio.run(messages_of(up.addresses["broker"], EVENTS))]
    sent = [each for each in messages if each["distinct_id"] == person]
    assert [each["event"] for each in sent if not each["event"].startswith("$")] == ["search", "found it"]
    assert {each["properties"]["query"] for each in sent if each["event"] == "search"} == {"naïve ☂"}
    called = [each["properties"] for each in sent if each["event"] == "$feature_flag_called"]
    # Each SDK has its own mind about when to tell of a flag again.
    assert ("help", False) in {(each["$feature_flag"], each["$feature_flag_response"]) for each in called}


def _eventually(holds: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)

"""What an SDK sends while Kafka is away arrives when Kafka is back."""

import asyncio
import json
from pathlib import Path

import pytest

from cohort_store.kafka.topics import EVENTS, ensure_topics, muster_topics
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import LOOPBACK, choose_port
from processors.embedded.view import EmbeddedView
from tests.evaluator.serving import TOKEN, serving
from tests.sdks.conftest import Start
from tests.sdks.toolchains import TOOLCHAINS
from tests.sdks.topics import messages_of
from tests.services.redis_servers import RedisServer

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("language", TOOLCHAINS)
def test_an_event_that_was_turned_away_comes_again_and_is_kept(
    language: str, start: Start, tmp_path: Path, view_server: EmbeddedView | RedisServer
) -> None:
    port = choose_port(None)
    bootstrap = f"{LOOPBACK}:{port}"
    sdk = start(language, "posthog")
    with serving(tmp_path, view_server.url, settings={"MUSTER_KAFKA": bootstrap}) as running:
        sdk.ask("open", host=running.url, token=TOKEN, secret=None, poll_ms=30_000)
        sdk.ask("capture", event="search", person=language, properties={})

        def counted(outcome: str) -> bool:
            if language == "java":
                # It sends what is queued every half minute; and a flush right behind a capture may find nothing yet.
                sdk.ask("flush")
            return running.metric(f'muster_evaluator_events_total{{outcome="{outcome}"}}') > 0

        running.until(lambda: counted("turned_away"))
        with EmbeddedBroker(tmp_path / "broker", port):
            asyncio.run(ensure_topics(bootstrap, muster_topics(2)))
            running.until(lambda: counted("kept"))
            found = [json.loads(each.value) for each in asyncio.run(messages_of(bootstrap, EVENTS))]
            assert {(each["event"], each["distinct_id"]) for each in found} == {("search", language)}
            assert len({each["uuid"] for each in found}) == 1

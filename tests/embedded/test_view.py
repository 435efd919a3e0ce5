"""The embedded view keeps what it was given, in a folder that it has to itself."""

import os
from pathlib import Path

import pytest
import redis

from processors.embedded.errors import FolderInUse, PartFailed
from processors.embedded.view import EmbeddedView


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with EmbeddedView(tmp_path) as view, redis.Redis.from_url(view.url) as client:
        client.set("roll", "kept")
    with EmbeddedView(tmp_path) as view, redis.Redis.from_url(view.url) as client:
        assert client.get("roll") == b"kept"


def test_what_was_written_survives_a_killed_server(tmp_path: Path) -> None:
    view = EmbeddedView(tmp_path)
    view.launch()
    view.wait_ready()
    with redis.Redis.from_url(view.url) as client:
        client.set("roll", "kept")
    view.process.kill()
    view.stop()
    with EmbeddedView(tmp_path) as again, redis.Redis.from_url(again.url) as client:
        assert client.get("roll") == b"kept"


def test_it_refuses_to_drop_records_when_memory_is_short(tmp_path: Path) -> None:
    with EmbeddedView(tmp_path) as view, redis.Redis.from_url(view.url) as client:
        client.config_set("maxmemory", "3mb")
        client.set("record", "kept")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            _fill(client)
        assert client.get("record") == b"kept"


def test_a_second_start_on_the_same_folder_names_the_holder(tmp_path: Path) -> None:
    with EmbeddedView(tmp_path), pytest.raises(FolderInUse, match=f"in use by process {os.getpid()}"):
        EmbeddedView(tmp_path).launch()


def test_a_requested_port_is_the_one_that_is_used(tmp_path: Path) -> None:
    with EmbeddedView(tmp_path / "one") as first:
        port = first.port
        with pytest.raises(PartFailed, match=f"port {port}"):
            EmbeddedView(tmp_path / "two", port=port)
    with EmbeddedView(tmp_path / "two", port=port) as second:
        assert second.url == f"redis://127.0.0.1:{port}/0"


def _fill(client: "redis.Redis") -> None:
    for number in range(64):
        client.set(f"filler{number}", b"x" * 100_000)

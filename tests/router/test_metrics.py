"""The metrics of the write path: described, without ids, and served."""

import urllib.request

import pytest

from processors import metrics
from processors.embedded.child import choose_port


def test_every_metric_says_what_it_means_and_when_to_alert() -> None:
    names = [described.name for described in metrics.CATALOGUE]
    assert len(names) == len(set(names))
    for described in metrics.CATALOGUE:
        assert described.name.startswith("muster_")
        assert described.meaning.endswith(".")
        assert described.alert


@pytest.mark.parametrize("word", ["id", "person", "subject", "uuid", "distinct"])
def test_no_label_holds_an_id(word: str) -> None:
    assert all(word not in label for described in metrics.CATALOGUE for label in described.labels)


def test_what_was_counted_is_served_over_http() -> None:
    port = choose_port(None)
    metrics.ROUTER_REFUSED.add(3, "of_a_test")
    metrics.serve_metrics(port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b'muster_router_refused_total{reason="of_a_test"} 3.0' in answer.read()

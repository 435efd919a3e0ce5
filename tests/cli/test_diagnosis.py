"""What doctor says of what it has seen."""

import pytest

from cohort_store.kafka.topics import muster_topics
from cohort_store.settings import Settings
from processors.cli.diagnosis import Finding, Verdict, topic_findings
from processors.kafka.inspection import ClusterSeen, TopicSeen


def cluster(brokers: int, replicas: int, **odd: TopicSeen) -> ClusterSeen:
    topics = {spec.name: TopicSeen(spec.partitions, replicas) for spec in muster_topics()}
    return ClusterSeen(brokers, topics | {f"muster.{name}": topic for name, topic in odd.items()})


def verdicts(findings: list[Finding]) -> list[tuple[str, Verdict]]:
    return [(finding.part, finding.verdict) for finding in findings]


@pytest.mark.parametrize(
    ("brokers", "replicas", "is_noted"),
    [(1, 1, False), (2, 1, True), (2, 2, False), (3, 2, True), (3, 3, False), (9, 2, True), (9, 3, False)],
)
def test_topics_with_fewer_replicas_than_three_are_noted_where_there_are_brokers_for_more(
    brokers: int, replicas: int, is_noted: bool
) -> None:
    noted = [("replicas", Verdict.NOTE)] if is_noted else []
    assert verdicts(topic_findings(Settings(), cluster(brokers, replicas))) == [("topics", Verdict.WELL), *noted]


def test_a_topic_with_few_replicas_is_named_with_its_number_and_the_setting() -> None:
    _, noted = topic_findings(Settings(), cluster(4, 3, deltas=TopicSeen(8, 1)))
    assert noted.detail == "muster.deltas has 1, and 4 brokers could keep 3 replicas of each"
    assert "MUSTER_TOPIC_REPLICATION" in noted.remedy


def test_a_topic_that_is_missing_is_wrong_and_says_nothing_of_replicas() -> None:
    assert verdicts(topic_findings(Settings(), ClusterSeen(3, {}))) == [("topics", Verdict.WRONG)]

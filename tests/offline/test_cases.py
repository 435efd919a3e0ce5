"""`muster test`: cohorts tested like code."""

import json
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
import yaml

from processors.demo.log import SHOP
from processors.offline.case_schema import schema_text
from tests.offline.commands import Ran, command

SCHEMA = Path(__file__).parents[2] / "schema"
COHORTS = """
cohorts:
  - {key: buyers, when: {kind: performed, event: purchase, within: 7d}}
  - {key: loyal, when: {all: [{kind: in_cohort, cohort: buyers}, {kind: count, event: purchase, n: 2, within: 30d}]}}
"""
HEAD = "definitions: cohorts.yaml\ncases:\n"
CASE = """
  - name: one purchase is enough
    now: 2026-01-12T12:00:00Z
    events:
      - {{person_id: ann, event: purchase, at: {at}}}
    expect: {{buyers: {buyers}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cohorts.yaml").write_text(COHORTS)
    return tmp_path


def tested(folder: Path, text: str, *more: str | Path) -> Ran:
    path = folder / "c.test.yaml"
    path.write_text(text)
    return command("test", path, *more)


def test_the_shops_cases_pass_and_have_every_kind_of_condition() -> None:
    ran = command("test", SHOP / "cohorts.test.yaml")
    assert ran.status == 0, ran.out
    cases = yaml.safe_load((SHOP / "cohorts.test.yaml").read_text())["cases"]
    expected = {key for case in cases for key in case["expect"]}
    defined = yaml.safe_load((SHOP / "cohorts.yaml").read_text())["cohorts"]
    assert _kinds([c for c in defined if c["key"] in expected]) == _kinds(defined)


def test_of_a_folder_the_files_of_tests_in_it_and_below_are_run(folder: Path) -> None:
    below = folder / "below"
    below.mkdir()
    (below / "cohorts.yaml").write_text(COHORTS)
    (below / "c.test.yml").write_text(HEAD + CASE.format(at="-1d", buyers="[ann]"))
    (folder / "notes.txt").write_text("no cases")
    ran = tested(folder, HEAD + CASE.format(at="-8d", buyers="[]"), folder, "--json")
    assert [Path(case["file"]).name for case in ran.json["cases"]] == ["c.test.yaml", "c.test.yml", "c.test.yaml"]


def test_a_folder_without_tests_is_refused(folder: Path) -> None:
    ran = command("test", folder)
    assert (ran.status, ran.err) == (2, f"muster: {folder}: no file of tests is in this folder; name one *.test.yaml\n")


def test_the_published_schema_of_cases_is_the_one_that_the_code_means() -> None:
    assert (SCHEMA / "cases.schema.json").read_text() == schema_text(), "run: make schema"


def _kinds(plain: object) -> set[str]:
    if isinstance(plain, list):
        return set().union(*map(_kinds, plain)) if plain else set()
    if not isinstance(plain, dict):
        return set()
    return set().union({plain["kind"]} if "kind" in plain else set(), *map(_kinds, plain.values()))


@pytest.mark.parametrize(
    ("at", "is_in"),
    [
        ("-7d", False),
        ("-6d23h59m59s999ms", True),
        ("now", True),
        ("+1ms", False),
        ("2026-01-12T12:00:00", True),
        ("1768219200000", True),
        ("[-8d, -1d]", True),
    ],
)
def test_an_instant_may_be_relative_or_absolute(folder: Path, at: str, is_in: bool) -> None:
    ran = tested(folder, HEAD + CASE.format(at=at, buyers="[ann]" if is_in else "[]"))
    assert ran.status == 0, ran.out
    assert "1 case: 1 passed, 0 failed." in ran.out


def test_a_failed_case_names_who_is_wrong_with_the_reason(folder: Path) -> None:
    case = CASE.format(at="[-8d, -9d]", buyers="[ann]").replace("{buyers", "{loyal: [eve], buyers")
    ran = tested(folder, HEAD + case)
    assert ran.status == 1
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "FAIL one purchase is enough" in lines
    assert "- ann expected, and not in it" in lines
    assert any(line.startswith("ann is not in buyers (version 1) at 2026-01-12T12:00:00.000Z") for line in lines)
    assert "no performed event: purchase, within: 7d" in lines
    assert "none decides of purchase; the latest other one 2026-01-04T12:00:00.000Z" in lines
    assert "eve is nobody in this case; name her under `persons`, or correct the id" in lines
    assert "1 case: 0 passed, 1 failed." in lines


def test_somebody_who_should_not_be_a_member_is_told_until_when_she_is(folder: Path) -> None:
    ran = tested(folder, HEAD + CASE.format(at="-1d", buyers="[]"))
    assert ran.status == 1
    assert "+ ann  in it, and not expected" in ran.out
    assert "until 2026-01-18T12:00:00.000Z, if nothing more is done" in ran.out
    assert "1 x purchase: 2026-01-11T12:00:00.000Z" in ran.out


def test_the_answer_in_json_has_the_whole_explanation(folder: Path) -> None:
    ran = tested(folder, HEAD + CASE.format(at="-1d", buyers="[]"), "--json")
    assert ran.status == 1
    answer = json.loads(ran.out)
    assert (answer["passed"], answer["failed"]) == (0, 1)
    (wrong,) = answer["cases"][0]["wrong"]
    assert (wrong["person"], wrong["cohort"], wrong["expected"]) == ("ann", "buyers", False)
    assert wrong["why"]["reason"]["decided_by"][0]["times"] == ["2026-01-11T12:00:00.000Z"]


def test_results_are_written_for_a_ci_server(folder: Path) -> None:
    good, bad = CASE.format(at="-1d", buyers="[ann]"), CASE.format(at="-1d", buyers="[]")
    bad = bad.replace("name: one purchase is enough", 'name: "two <\\x01>"')
    ran = tested(folder, HEAD + good + bad, "--junit", folder / "r.xml")
    assert ran.status == 1
    suites = fromstring((folder / "r.xml").read_bytes())
    assert (suites.get("tests"), suites.get("failures")) == ("2", "1")
    first, second = suites.findall("testsuite/testcase")
    assert (first.get("name"), first.find("failure")) == ("one purchase is enough", None)
    assert second.get("name") == "two <\ufffd>"
    assert "+ ann" in (second.findtext("failure") or "")


def test_definitions_may_be_several_files_and_persons_have_distinct_ids(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "m.yaml").write_text("cohorts: [{key: none, when: {not: {kind: in_cohort, cohort: buyers}}}]")
    text = HEAD.replace("cohorts.yaml", "[cohorts.yaml, more/m.yaml]") + CASE.format(at="-1d", buyers="[ann]")
    text = text.replace("expect: {", "persons: [bob, {id: cyd, distinct_ids: [d]}]\n    expect: {none: [bob], ")
    text = text.replace("person_id: ann", "distinct_id: d").replace("buyers: [ann]", "buyers: [cyd]")
    assert tested(folder, text).status == 0


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("cases: []", "c.test.yaml", "definitions: this is required"),
        (HEAD + CASE.format(at="-1x", buyers="[]"), "c.test.yaml:7: cases[0].events[0].at", "'1x' is not a duration"),
        (
            HEAD + CASE.format(at="soon", buyers="[]"),
            "c.test.yaml:7: cases[0].events[0].at",
            "'soon' is not an instant",
        ),
        (HEAD + CASE.format(at="-1d", buyers="ann"), "c.test.yaml:8: cases[0].expect.buyers", "is no list"),
        (HEAD + CASE.format(at="-1d", buyers="[]").replace("now", "when"), "c.test.yaml:4: cases[0].now", "required"),
        (HEAD + CASE.format(at="-1d", buyers="[]").replace("2026-01-12T12:00:00Z", "-1d"), "cases[0].now", "instant"),
        (HEAD + CASE.format(at="-1d", buyers="[]").replace("person_id: ann, ", ""), "cases[0].events[0]", "neither"),
        (HEAD + CASE.format(at="-1d", buyers="[]").replace("event: p", "evnet: p"), ":7: cases[0].events[0].e", "e"),
        (HEAD + CASE.format(at="-1d", buyers="[]").replace("{buyers", "{sellers"), "expect.sellers", "not defined"),
        (HEAD + CASE.format(at=1, buyers="[]"), "cases[0].events[0]", "before the year 2000"),
        (HEAD.replace("cohorts", "absent") + CASE.format(at="-1d", buyers="[]"), "absent.yaml", "cannot be read"),
    ],
)
def test_a_file_that_is_refused_is_named_by_line_and_ends_with_status_two(
    folder: Path, text: str, where: str, said: str
) -> None:
    ran = tested(folder, text)
    assert (ran.status, ran.out) == (2, "")
    assert where in ran.err
    assert said in ran.err

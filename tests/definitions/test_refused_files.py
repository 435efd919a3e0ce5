"""What is refused, and what its author is told: file, line, path, value, limit, remedy."""

import pytest

from cohort_store.definition_files import check_whole, read_definitions
from cohort_store.definition_text import FILE_BYTES_MAX, DefinitionText
from cohort_store.errors import BadDefinition

WHEN = "cohorts:\n  - key: buyers\n    when: "
NESTED = """
cohorts:
  - key: buyers
    when:
      all:
        - {kind: performed, event: a, within: 1d}
        - not:
            kind: performed
            event: b
            within: 1d
            where:
              - {property: plan, op: like, value: pro}
"""
CIRCLE = """
cohorts:
  - key: a
    when: {kind: in_cohort, cohort: b}
  - key: b
    when: {kind: in_cohort, cohort: a}
"""
TWICE = """
cohorts:
  - {key: a, when: {kind: performed, event: buy, within: 7d}}
  - {key: a, when: {kind: performed, event: buy, within: 8d}}
"""
MANY_SELECTORS = "cohorts:\n" + "".join(
    f"  - key: c{i}\n    when: {{kind: count, event: e{i}, n: 1000, within: 1d}}\n" for i in range(6)
)
ONE_SELECTOR = "cohorts:\n" + "".join(
    f"  - key: c{i}\n    when: {{kind: count, event: e, n: 1000, within: {i + 1}d}}\n" for i in range(6)
)
ASKING = "flags:\n  - key: f\n    filters:\n      groups:\n        - properties: "

CASES = [
    (
        "n too large",
        WHEN + "{kind: count, event: buy, n: 1001, within: 7d}",
        "f.yaml:3: cohorts[0].when.n",
        "1001",
        "1000",
    ),
    ("n negative", WHEN + "{kind: count, event: buy, n: -1, within: 7d}", "f.yaml:3: cohorts[0].when.n", "-1", "0"),
    (
        "n a word",
        WHEN + "{kind: count, event: buy, n: many, within: 7d}",
        "f.yaml:3: cohorts[0].when.n",
        "many",
        "number",
    ),
    (
        "operator",
        WHEN + "{kind: count, event: buy, op: about, n: 1, within: 7d}",
        "f.yaml:3: cohorts[0].when.op",
        "about",
        "gte",
    ),
    (
        "window too long",
        WHEN + "{kind: performed, event: buy, within: 731d}",
        "f.yaml:3: cohorts[0].when",
        "731d",
        "730d",
    ),
    ("window a word", WHEN + "{kind: performed, event: buy, within: soon}", "f.yaml:3: cohorts[0].when", "soon", "7d"),
    ("no window", WHEN + "{kind: performed, event: buy}", "f.yaml:3: cohorts[0].when", "within: 7d"),
    ("two windows", WHEN + "{kind: performed, event: b, within: 7d, since: 2024-01-01}", "f.yaml:3:", "one of the two"),
    (
        "bounds exchanged",
        WHEN + "{kind: performed, event: b, since: 2024-02-01, until: 2024-01-01}",
        "f.yaml:3:",
        "2024-02-01",
    ),
    ("instant", WHEN + "{kind: performed, event: b, since: yesterday}", "f.yaml:3:", "yesterday", "ISO 8601"),
    ("no event", WHEN + "{kind: performed, within: 7d}", "f.yaml:3: cohorts[0].when", "any_of"),
    (
        "misspelt key",
        WHEN + "{kind: performed, event: b, within: 7d, wher: []}",
        "f.yaml:3: cohorts[0].when.wher",
        "spelling",
    ),
    ("unknown kind", WHEN + "{kind: bought, event: b, within: 7d}", "f.yaml:3: cohorts[0].when", "bought", "performed"),
    ("empty all", WHEN + "{all: []}", "f.yaml:3: cohorts[0].when.all", "at least 1"),
    ("deep inside", NESTED, "f.yaml:12: cohorts[0].when.all[1].not.where[0]", "like", "exact"),
    (
        "no number",
        WHEN + "{kind: performed, event: b, within: 7d, where: [{property: p, op: gt, value: lots}]}",
        "lots",
        "number",
    ),
    (
        "no value",
        WHEN + "{kind: performed, event: b, within: 7d, where: [{property: p, op: gt}]}",
        "needs a value",
        "is_set",
    ),
    (
        "reference to nobody",
        WHEN + "{kind: in_cohort, cohort: nobody}",
        "f.yaml:2: cohorts[0] (buyers)",
        "nobody",
        "apply it",
    ),
    (
        "itself",
        WHEN + "{not: {kind: in_cohort, cohort: buyers}}",
        "f.yaml:2: cohorts[0] (buyers)",
        "buyers → buyers",
        "break",
    ),
    ("circle", CIRCLE, "f.yaml:3: cohorts[0] (a)", "a → b → a", "break the circle"),
    (
        "bad slug",
        "cohorts:\n  - {key: Buyers!, when: {kind: performed, event: b, within: 7d}}",
        "f.yaml:2: cohorts[0].key",
        "Buyers!",
    ),
    ("defined twice", TWICE, "f.yaml:4: cohorts[1]", "f.yaml:3: cohorts[0]", "keep one"),
    ("key twice", "cohorts:\n  - key: a\n    key: b\n", "f.yaml:3", "'key'", "keep one"),
    ("no team", "team: 0\ncohorts: []\n", "f.yaml:1: team", "'0'", "from 1"),
    ("unknown at the top", "cohort: []\n", "f.yaml:1: cohort", "cohorts"),
    ("mapping for a list", "cohorts:\n  key: a\n", "f.yaml:1: cohorts", "[...]"),
    ("list at the top", "- key: a\n", "f.yaml:1", "list", "`cohorts:`"),
    ("no YAML", "cohorts: [\n", "f.yaml:2", "not YAML", "correct it"),
    ("alias", "a: &x [1]\nb: [*x, *x]\n", "f.yaml:1", "'x'", "write the value out"),
    ("tag", "cohorts: !!python/object:os.system {}\n", "f.yaml:1", "os.system", "remove it"),
    ("two documents", "cohorts: []\n---\ncohorts: []\n", "f.yaml:2", "second document"),
    ("too deep", "cohorts: " + "[" * 5_000 + "]" * 5_000, "f.yaml:1", "60 levels", "split"),
    ("NUL", "cohorts:\n  \x00", "f.yaml:2", "control characters", "remove"),
    ("key no text", "? [1]\n: 2", "f.yaml:1", "a key must be a text"),
    (
        "huge number",
        WHEN + "{kind: count, event: b, n: 99999999999999999999999, within: 1d}",
        "f.yaml:3",
        "64 bits",
        "quotes",
    ),
    ("a record too big", MANY_SELECTORS, "f.yaml:10: cohorts[4] (c4)", "70050", "65536", "share selectors"),
    ("a timeline too long", ONE_SELECTOR, "f.yaml:10: cohorts[4] (c4)", "5000", "4096", "lower n"),
    (
        "rollout",
        "flags:\n  - key: f\n    filters: {groups: [{rollout_percentage: 101}]}",
        "f.yaml:3: flags[0]",
        "101",
        "100",
    ),
    (
        "flag asks nobody",
        ASKING + "[{key: id, type: cohort, operator: in, value: nobody}]",
        "f.yaml:2: flags[0] (f)",
        "'nobody'",
    ),
    (
        "flag asks no id",
        ASKING + "[{key: id, type: cohort, operator: in, value: 12}]",
        "f.yaml:2: flags[0] (f)",
        "12",
        "apply it",
    ),
    (
        "flag policy",
        "flags:\n  - key: f\n    muster: {on_unavailable: guess}",
        "f.yaml:3: flags[0].muster",
        "guess",
        "fail_closed",
    ),
    ("flag twice", "flags:\n  - {key: f}\n  - {key: f}", "f.yaml:3: flags[1]", "f.yaml:2: flags[0]", "keep one"),
    ("flag deleted", "flags:\n  - {key: f, deleted: true}", "f.yaml:2: flags[0]", "deleted", "--prune"),
]
JSON_CASES = [
    ("key twice", '{"cohorts": [\n{"key": "a", "key": "b"}]}', "f.json:2", "'key'", "keep one"),
    ("no JSON", '{"cohorts": [\n{"key": "a",}]}', "f.json:2", "not JSON", "column 13", "correct it"),
    ("NaN", '{"cohorts": NaN}', "f.json", "NaN", "finite number"),
    ("half a character", '{"cohorts": [{"key": "a",\n"when": "\\ud83d"}]}', "f.json: cohorts[0].when", "both halves"),
    ("half a key", '{"cohorts": [{"a\\udc00": 1}]}', "f.json: cohorts[0]", "both halves"),
    ("infinite", '{"cohorts": 1e999}', "f.json", "1e999", "finite number"),
    ("too deep", "[" * 100_000, "f.json", "60 levels"),
    ("one page", '{"results": [], "next": "http://localhost/?page=2"}', "f.json:1: next", "limit"),
    (
        "tabs",
        '{"cohorts": [\n\t{"key": "a", "when": {"kind": "count",\n\t\t"event": "b", "n": 1001, "within": "1d"}}]}',
        "f.json:3: cohorts[0].when.n",
        "1001",
        "1000",
    ),
]


def refusal_of(name: str, raw: bytes) -> str:
    with pytest.raises(BadDefinition) as refused:
        check_whole(read_definitions([DefinitionText(name, raw)]), {})
    return str(refused.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_bad_yaml_file_is_refused_with_place_value_and_remedy(case: tuple[str, ...]) -> None:
    said = refusal_of("f.yaml", case[1].encode())
    assert [expected for expected in case[2:] if expected not in said] == [], said


@pytest.mark.parametrize("case", JSON_CASES, ids=lambda case: case[0])
def test_a_bad_json_file_is_refused_with_place_value_and_remedy(case: tuple[str, ...]) -> None:
    said = refusal_of("f.json", case[1].encode())
    assert [expected for expected in case[2:] if expected not in said] == [], said


def test_a_file_that_is_not_utf8_is_refused_with_its_line() -> None:
    assert refusal_of("f.yaml", b"team: 1\ncohorts: \xff").startswith("f.yaml:2: byte 17 is not UTF-8")


def test_a_file_beyond_the_limit_is_refused_before_it_is_parsed() -> None:
    assert str(FILE_BYTES_MAX) in refusal_of("f.yaml", b"[" * (FILE_BYTES_MAX + 1))


def test_one_bad_file_among_good_ones_refuses_them_all() -> None:
    good = DefinitionText("good.yaml", (WHEN + "{kind: performed, event: buy, within: 7d}").encode())
    bad = DefinitionText("bad.yaml", b"cohorts:\n  - {key: other, when: {kind: bought}}")
    with pytest.raises(BadDefinition, match=r"^bad.yaml:2: cohorts\[0\].when: 'bought'"):
        read_definitions([good, bad])


def test_a_name_in_two_files_is_refused_naming_both_places() -> None:
    text = (WHEN + "{kind: performed, event: buy, within: 7d}").encode()
    with pytest.raises(BadDefinition, match=r"^two.yaml:2: .*already at one.yaml:2: cohorts\[0\]"):
        read_definitions([DefinitionText("one.yaml", text), DefinitionText("two.yaml", text)])

"""What the answers about members say in words."""

import pytest

from cohort_store.definitions import leaves_of, parse_cohort
from cohort_store.event_values import Form, ValueOf
from cohort_store.properties import PropertyTest
from cohort_store.selectors import Alternative, Selector
from cohort_store.wording import readable


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (Selector((Alternative("purchase"),)), "purchase"),
        (Selector((Alternative(None),)), "any event"),
        (Selector((Alternative("purchase"),), ValueOf("amount", Form.NUMBER)), "purchase by amount"),
        (Selector((Alternative("home"), Alternative("cart"))), "cart, or home"),
        (
            Selector((Alternative("home", (PropertyTest(property="plan", op="is_set"),)),)),
            "home where plan is_set",
        ),
        (
            Selector((Alternative("home", (PropertyTest(property="step", op="gt", value=3),)),)),
            "home where step gt 3",
        ),
    ],
)
def test_a_selector_is_shown_in_words(selector: Selector, words: str) -> None:
    assert readable(selector.canonical()) == words


def test_every_selector_of_a_definition_can_be_shown() -> None:
    tree = {"kind": "count", "n": 1, "within": "7d", "event": "a", "where": [{"property": "p", "value": ["x", True]}]}
    (leaf,) = leaves_of(parse_cohort({"key": "k", "when": tree}).when)
    (selector,) = leaf.compile().selectors  # type: ignore[union-attr]
    assert readable(selector.canonical()) == "a where p exact true|x"

"""Whose address counts: the connection's, or behind proxies that are trusted the one that they name."""

import pytest

from evaluator.http.callers import PROXIES_MAX, caller_of, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "192.168.1.7", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.9:5000", None, "203.0.113.9"),
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9:5000", "198.51.100.1", "203.0.113.9"),
        ("10.1.2.3:5000", None, "10.1.2.3"),
        ("10.1.2.3:5000", "", "10.1.2.3"),
        ("10.1.2.3:5000", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3:5000", "198.51.100.1:4711", "198.51.100.1"),
        ("10.1.2.3:5000", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.1.2.3:5000", "1.1.1.1, 198.51.100.1,192.168.1.7 , 10.9.9.9", "198.51.100.1"),
        ("10.1.2.3:5000", "10.4.4.4, 10.9.9.9", "10.4.4.4"),
        ("10.1.2.3:5000", "198.51.100.1, unknown", "10.1.2.3"),
        ("10.1.2.3:5000", "198.51.100.1, unknown, 10.9.9.9", "10.9.9.9"),
        ("[2001:db8:1::5]:5000", "2001:db8:ffff:1:2:3:4:5", "2001:db8:ffff:1::/64"),
        ("[2001:db8:1::5]:5000", "[2001:db8:ffff:1::9]:80", "2001:db8:ffff:1::/64"),
        ("[::ffff:10.1.2.3]:5000", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", ""),
        ("unix:", None, "unix:"),
    ],
)
def test_only_what_a_trusted_proxy_wrote_is_believed(peer: str, forwarded: str | None, caller: str) -> None:
    assert caller_of(peer, forwarded, PROXIES) == caller


def test_with_no_proxy_trusted_what_a_request_says_of_itself_counts_for_nothing() -> None:
    assert caller_of("10.1.2.3:5000", "198.51.100.1", ()) == "10.1.2.3"


def test_a_chain_is_followed_so_far_and_no_further() -> None:
    chain = ", ".join(["198.51.100.1", *(["10.0.0.1"] * PROXIES_MAX)])
    assert caller_of("10.1.2.3:1", chain, PROXIES) == "10.0.0.1"
    assert caller_of("10.1.2.3:1", chain.removesuffix(", 10.0.0.1"), PROXIES) == "198.51.100.1"


def test_all_addresses_of_one_ipv6_site_are_one_caller() -> None:
    assert caller_of("[2001:db8:9:9::1]:1", None, ()) == caller_of("[2001:db8:9:9:ffff::2]:2", None, ())
    assert caller_of("[2001:db8:9:9::1]:1", None, ()) != caller_of("[2001:db8:9:8::1]:1", None, ())

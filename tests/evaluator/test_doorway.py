"""Rate limits, cross-origin requests and TLS, as callers of a running evaluator meet them."""

import asyncio
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from cohort_store.settings import Settings
from evaluator.http.cors import HEADERS_CHARACTERS_MAX
from evaluator.http.routes import ROUTES
from processors.cli.evaluator_requests import ask as ask_as_a_command
from processors.cli.web import get, url_of
from processors.embedded.child import LOOPBACK, ChildProcess
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import registry_of
from tests.evaluator.conftest import FLAGS, fill
from tests.evaluator.serving import BEARER, TOKEN, Evaluator, serving
from tests.services.redis_servers import RedisServer

SHOP, OTHER = "https://shop.example", "https://other.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, x-muster"}
BODY = {"token": TOKEN, "distinct_id": "ada"}


@pytest.fixture(scope="module")
def view(view_server: EmbeddedView | RedisServer) -> str:
    with redis.Redis.from_url(view_server.url) as client:
        client.flushall()
    asyncio.run(fill(view_server.url, registry_of(FLAGS)))
    return view_server.url


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, view: str) -> Iterator[Evaluator]:
    """Behind a proxy at this very machine, which names the callers. One key: a request in 100 s, after five at once."""
    settings = {
        "MUSTER_RATE_ADDRESS_PER_S": "0.02",
        "MUSTER_RATE_KEY_PER_S": "0.1",
        "MUSTER_RATE_BURST_S": "100",
        "MUSTER_TRUSTED_PROXIES": json.dumps([LOOPBACK]),
        "MUSTER_CORS_ORIGINS": json.dumps([SHOP]),
    }
    with serving(tmp_path_factory.mktemp("limited"), view, settings=settings) as evaluator:
        evaluator.until_version(1)
        yield evaluator


def ask(evaluator: Evaluator, caller: str, token: str = "phc_other") -> httpx.Response:
    body = {"token": token, "distinct_id": "ada"}
    return evaluator.client.post("/flags", json=body, headers={"X-Forwarded-For": caller, "Origin": SHOP})


def test_an_address_that_asks_too_often_is_told_when_to_come_again_and_others_are_served(limited: Evaluator) -> None:
    assert [ask(limited, "203.0.113.1").status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(limited, "203.0.113.1")
    assert 1 <= int(refused.headers["retry-after"]) <= 50
    assert (refused.json()["type"], refused.json()["code"]) == ("throttled_error", "throttled")
    assert "MUSTER_RATE_ADDRESS_PER_S" in refused.json()["detail"]
    assert refused.headers["access-control-allow-origin"] == SHOP
    assert ask(limited, "203.0.113.2").status_code == 200
    # What the caller wrote herself stands before what the proxy added.
    assert ask(limited, "198.51.100.77, 203.0.113.1").status_code == 429


def test_two_headers_of_one_name_are_read_to_the_end_so_that_nobody_hides_behind_the_first(limited: Evaluator) -> None:
    twice = [("X-Forwarded-For", "198.51.100.80"), ("X-Forwarded-For", "203.0.113.8")]
    body = {"token": "phc_other", "distinct_id": "ada"}
    assert [limited.client.post("/flags", json=body, headers=twice).status_code for _ in range(3)] == [200, 200, 429]
    assert ask(limited, "198.51.100.80").status_code == 200


def test_a_token_that_asks_too_often_is_refused_from_whatever_address(limited: Evaluator) -> None:
    answers = [ask(limited, f"203.0.113.{n}", TOKEN) for n in range(100, 111)]
    assert [each.status_code for each in answers] == [200] * 10 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
    assert "MUSTER_RATE_KEY_PER_S" in answers[-1].json()["detail"]
    assert limited.metric('muster_evaluator_refusals_total{why="key_too_fast"}') == 1


def test_whoever_watches_the_evaluator_is_never_shut_out(limited: Evaluator) -> None:
    for path in ("/health", "/ready", "/metrics", "/openapi.json"):
        answers = {limited.client.get(path, headers={"X-Forwarded-For": "203.0.113.50"}).status_code for _ in range(9)}
        assert answers == {200}


def test_pages_of_sites_that_are_named_may_evaluate_and_others_may_not(limited: Evaluator) -> None:
    def preflight(origin: str) -> httpx.Response:
        return limited.client.options("/flags", headers={"Origin": origin, **PREFLIGHT})

    allowed = preflight(SHOP)
    assert (allowed.status_code, allowed.content) == (204, b"")
    assert allowed.headers["access-control-allow-origin"] == SHOP
    assert allowed.headers["access-control-allow-methods"] == "POST"
    assert allowed.headers["access-control-allow-headers"] == "content-type, x-muster"
    assert allowed.headers["vary"] == "origin"
    refused = preflight(OTHER)
    assert "access-control-allow-origin" not in refused.headers
    assert "access-control-allow-methods" not in refused.headers


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, view: str) -> Iterator[Evaluator]:
    with serving(tmp_path_factory.mktemp("plain"), view) as evaluator:
        evaluator.until_version(1)
        yield evaluator


def test_unless_sites_are_named_pages_of_any_may_evaluate_and_read_why_not(plain: Evaluator) -> None:
    assert plain.client.options("/flags/", headers={"Origin": OTHER, **PREFLIGHT}).status_code == 204
    for body, status in ((BODY, 200), ({}, 400), ({**BODY, "token": "who"}, 401)):
        answer = plain.client.post("/flags", json=body, headers={"Origin": OTHER})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")
        assert "retry-after" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
    assert not [name for name in plain.client.post("/flags", json=BODY).headers if name.startswith("access-control")]


@pytest.mark.parametrize("route", [route for route in ROUTES if route.operation.secured], ids=lambda r: r.template)
def test_what_needs_a_secret_key_is_closed_to_pages_of_every_site(plain: Evaluator, route: object) -> None:
    path = str(getattr(route, "template", "")).replace("{key}", "buyers").replace("{cohort}", "buyers")
    asked = {"Origin": SHOP, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    answers = [plain.client.options(path, headers=asked), plain.client.get(path, headers=BEARER | {"Origin": SHOP})]
    assert answers[0].status_code == 405
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": SHOP},
        {"Origin": SHOP, "Access-Control-Request-Method": "DELETE"},
        {"Access-Control-Request-Method": "POST"},
    ],
)
def test_an_options_that_no_browser_sends_is_no_preflight(plain: Evaluator, headers: dict[str, str]) -> None:
    assert plain.client.options("/flags", headers=headers).status_code == 405
    assert plain.client.options("/nothing", headers=headers).status_code == 404


@pytest.mark.parametrize("names", ["x" * (HEADERS_CHARACTERS_MAX + 1), "content-type; x", "é"])
def test_headers_that_are_no_names_are_not_allowed_back(plain: Evaluator, names: str) -> None:
    asked = [(b"origin", SHOP.encode()), (b"access-control-request-method", b"POST")]
    asked.append((b"access-control-request-headers", names.encode("latin-1")))
    answer = plain.client.options("/flags", headers=asked)
    assert answer.status_code == 204
    assert "access-control-allow-headers" not in answer.headers


def test_every_route_names_the_right_that_it_needs_but_those_that_watch_the_evaluator() -> None:
    assert {route.template for route in ROUTES if route.right is None} == {
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
    }


def self_made(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for the loopback address, and its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=muster", "-addext", f"subjectAltName=IP:{LOOPBACK}", "-keyout", str(key), "-out",
         str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_with_a_certificate_it_speaks_tls_and_nothing_else(tmp_path: Path, view: str) -> None:
    certificate, key = self_made(tmp_path, "good")
    settings = {"MUSTER_TLS_CERTIFICATE": str(certificate), "MUSTER_TLS_KEY": str(key)}
    with serving(tmp_path, view, settings=settings, trusting=certificate) as evaluator:
        evaluator.until_version(1)
        assert evaluator.url.startswith("https://")
        assert evaluator.flags("ada")["flags"]["for-buyers"]["enabled"] is True
        told = Settings(
            evaluator_port=evaluator.port,
            tls_certificate=str(certificate),
            tls_key=str(key),
            secret_key_file=str(tmp_path / "secret-key"),
        )
        assert asyncio.run(ask_as_a_command(told, "/cohorts"))["registry_version"] == 1
        assert get(url_of(LOOPBACK, evaluator.port, "/ready", secure=True), told.tls_certificate)[0] == 200
        with pytest.raises(OSError, match="nobody answers"):
            get(url_of(LOOPBACK, evaluator.port, "/ready", secure=True), str(self_made(tmp_path, "other")[0]))
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{evaluator.url}/health", verify=ssl.create_default_context())
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{LOOPBACK}:{evaluator.port}/health")


def test_files_that_are_no_pair_are_refused_before_anything_is_served(tmp_path: Path, view: str) -> None:
    certificate, _ = self_made(tmp_path, "one")
    _, key = self_made(tmp_path, "two")
    for pair in ((certificate, key), (certificate, tmp_path / "nowhere"), (key, key)):
        settings = dict(zip(("MUSTER_TLS_CERTIFICATE", "MUSTER_TLS_KEY"), map(str, pair), strict=True))
        evaluator = Evaluator(tmp_path, view, "system", settings=settings)
        assert ended(evaluator.process) != 0
        log = evaluator.log.read_text()
        assert "MUSTER_TLS_CERTIFICATE" in log
        assert "serving" not in log


def ended(process: ChildProcess) -> int | None:
    """The status of a process that ends by itself."""
    process.launch()
    with pytest.raises(Exception, match="evaluator"):
        process.wait_ready()
    process.stop()
    return process.returncode


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("trusted_proxies", ["proxy.example"], "10.0.0.0/8"),
        ("cors_origins", ["shop.example"], "https://shop.example"),
        ("cors_origins", [f"{SHOP}/cart"], "no path"),
        ("tls_certificate", "here.pem", "go together"),
        ("tls_key", "here.pem", "go together"),
        ("rate_key_per_s", -1, "greater than or equal to 0"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_with_what_to_write(setting: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**{setting: value})  # type: ignore[arg-type]

"""From settings to what stands before the handlers: who may ask, how often, from which pages, and over TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

from cohort_store.clocks import Clock
from cohort_store.errors import Crash
from cohort_store.secret_key_file import read_secret_key
from cohort_store.settings import Settings
from evaluator.access import Access
from evaluator.definitions.registry import RegistryFollower
from evaluator.http.callers import parse_networks
from evaluator.http.doorway import Doorway
from evaluator.http.gate import Gate
from evaluator.http.refusals import RefusalReport
from evaluator.limits import RateLimiter
from evaluator.metrics import Metrics


def gate_of(settings: Settings, registry: RegistryFollower, clock: Clock) -> Gate:
    """Raises Crash where the file of the owner's key is not there, or holds no key."""
    owners = read_secret_key(Path(settings.secret_key_file)) if settings.secret_key_file else None
    pace = _limiter(settings.rate_key_per_s, settings.rate_burst_s)
    return Gate(Access(settings.tokens, owners), registry, clock, pace)


def doorway_of(settings: Settings, metrics: Metrics) -> Doorway:
    return Doorway(
        RefusalReport(metrics),
        origins=settings.cors_origins,
        pace=_limiter(settings.rate_address_per_s, settings.rate_burst_s),
        proxies=parse_networks(settings.trusted_proxies),
    )


def tls_files_of(settings: Settings) -> tuple[Path | None, Path | None]:
    """The server's certificate and key; None and None for plain HTTP.

    Raises Crash where they cannot be read, or are no pair: the server's own message would not say which file.
    """
    if not settings.tls_certificate:
        return None, None
    certificate, key = Path(settings.tls_certificate), Path(settings.tls_key)
    try:
        # An empty password: for a key that has one, OpenSSL would ask at the terminal.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise Crash(
            f"TLS cannot be served with {certificate} and {key} ({error}): let MUSTER_TLS_CERTIFICATE name a PEM file "
            "with the certificate and those that signed it, and MUSTER_TLS_KEY one with its key, without a password"
        ) from None
    return certificate, key


def _limiter(per_s: float, burst_s: float) -> RateLimiter | None:
    return RateLimiter(per_s, burst_s) if per_s else None

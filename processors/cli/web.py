"""One GET of another role's HTTP port."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from processors.own_certificate import context_trusting

ANSWER_S_MAX = 3.0
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound


def url_of(host: str, port: int, path: str, *, secure: bool = False) -> str:
    """Where a role that listens on that host is asked from this machine; `secure`: it speaks TLS."""
    if host in _EVERYWHERE:
        host = "127.0.0.1"
    elif ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{'https' if secure else 'http'}://{host}:{port}{path}"


def get(url: str, certificate: str = "") -> tuple[int, str]:
    """Status and body. OSError, which names the URL, where no HTTP answer comes.

    `certificate` is the file of the one that is trusted there, where it speaks TLS.
    """
    try:
        context = context_trusting(certificate) if certificate else None
        with urllib.request.urlopen(url, timeout=ANSWER_S_MAX, context=context) as response:  # noqa: S310 - by url_of
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise OSError(f"nobody answers at {url} ({getattr(error, 'reason', error) or 'no answer'})") from error

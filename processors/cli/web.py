"""One GET of another role's HTTP port."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

ANSWER_S_MAX = 3.0
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound


def url_of(host: str, port: int, path: str) -> str:
    """Where a role that listens on that host is asked from this machine."""
    if host in _EVERYWHERE:
        host = "127.0.0.1"
    elif ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{port}{path}"


def get(url: str) -> tuple[int, str]:
    """Status and body. OSError, which names the URL, where no HTTP answer comes."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S_MAX) as response:  # noqa: S310 - made by url_of
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise OSError(f"nobody answers at {url} ({getattr(error, 'reason', error) or 'no answer'})") from error

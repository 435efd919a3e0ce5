"""The ways beside gzip in which SDKs in browsers pack a body: base64, and a form with the field `data`.

Browsers send a form, or plain text, where JSON would cost a second request to ask whether it may be sent.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_plus

from evaluator.http.messages import invalid

FORM = "application/x-www-form-urlencoded"

_FIELD = b"data="


def form_data(body: bytes) -> bytes:
    """The form's field `data`, with its base64 undone; a body that has no such field as it is.

    Why it is looked for by hand: a form of a megabyte of `&` would be a million fields.
    """
    if body.lstrip()[:1] == b"{":
        return body
    start = 0 if body.startswith(_FIELD) else body.find(b"&" + _FIELD) + 1
    if start == 0 and not body.startswith(_FIELD):
        return body
    value = body[start + len(_FIELD) :].partition(b"&")[0]
    # A plus is itself in base64, which SDKs do not always escape.
    text = unquote_plus(value.decode(errors="replace")).strip()
    return text.encode() if text[:1] == "{" else unpack_base64(text.replace(" ", "+").encode())


def unpack_base64(body: bytes) -> bytes:
    """The body that a base64 text stands for; of either alphabet, with or without its padding. Raises Problem."""
    text = b"".join(body.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise invalid("compression", "malformed_base64", f"the body is not base64: {error}") from None

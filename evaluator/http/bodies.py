"""Bodies: their limit, their compression, and JSON into typed values."""

from __future__ import annotations

import json
import re
import zlib
from typing import TypeVar

import msgspec

from evaluator.http.messages import Problem, Request, invalid
from evaluator.http.packed_bodies import FORM, form_data, unpack_base64

BODY_BYTES_MAX = 1_048_576
"""Of a body as sent, and again once it is unpacked."""

_GZIP = 16 + zlib.MAX_WBITS
_NO_NUMBER = re.compile(rb"NaN|Infinity")
_FIELD = re.compile(r"`\$\.?(.*)`$")
_MISSING = re.compile(r"missing required field `(.*?)`")

T = TypeVar("T")


def too_large(bytes_max: int = BODY_BYTES_MAX) -> Problem:
    detail = f"the body is longer than {bytes_max} bytes; send less at once"
    return invalid(None, "body_too_large", detail, status=413)


def plain_body(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body, unpacked where the request says that it is packed. Raises Problem."""
    encoding = (request.headers.get("content-encoding") or "identity").lower()
    compression = request.query.get("compression", "").lower() if request.query_string else ""
    if encoding not in ("identity", "gzip", "deflate"):
        raise invalid(
            "content-encoding", "unsupported", f"content-encoding {encoding[:40]!r} is not known; use gzip", 415
        )
    if compression not in ("", "gzip", "gzip-js", "base64"):
        raise _unsupported("compression", compression)
    body = request.body
    if encoding == "gzip" or compression.startswith("gzip"):
        body = inflated(body, bytes_max)
    elif encoding == "deflate":
        body = inflated(body, bytes_max, zlib.MAX_WBITS)
    if (request.headers.get("content-type") or "").startswith(FORM):
        return form_data(body)
    return unpack_base64(body) if compression == "base64" else body


def decode_body(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as a typed value. Raises Problem, which names the field that is wrong."""
    body = plain_body(request)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _decode_leniently(body, decoder, error)
    except RecursionError:
        raise invalid(None, "too_deep", "the body is nested too deeply; send flat properties") from None


def _decode_leniently(body: bytes, decoder: msgspec.json.Decoder[T], error: Exception) -> T:
    """A body with numbers that JSON has not (`NaN`, `Infinity`), as some SDKs write them: they are null."""
    if not _NO_NUMBER.search(body):
        raise invalid(None, "malformed_json", f"the body is not JSON: {error}")
    try:
        plain = json.loads(body, parse_constant=lambda _: None)
        return msgspec.convert(plain, decoder.type)
    except msgspec.ValidationError as wrong:
        raise _wrong_field(str(wrong)) from None
    except ValueError:
        raise invalid(None, "malformed_json", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise invalid(None, "too_deep", "the body is nested too deeply; send flat properties") from None


def _unsupported(attr: str, value: str) -> Problem:
    return invalid(attr, "unsupported", f"{attr} {value[:40]!r} is not known; use gzip or base64", 415)


def inflated(packed: bytes, bytes_max: int = BODY_BYTES_MAX, window_bits: int = _GZIP) -> bytes:
    """The packed bytes, unpacked; zlib's format where `window_bits` says so. Raises Problem."""
    unpacking = zlib.decompressobj(window_bits)
    try:
        body = unpacking.decompress(packed, bytes_max + 1)
    except zlib.error as error:
        raise invalid("content-encoding", "malformed_gzip", f"the body is not gzip: {error}") from None
    if len(body) > bytes_max:
        raise too_large(bytes_max)
    if not unpacking.eof:
        raise invalid("content-encoding", "malformed_gzip", "the gzip body ends too early; send all of it")
    return body


def _wrong_field(message: str) -> Problem:
    """A msgspec finding as a Problem: which field, and what was expected of it."""
    place = _FIELD.search(message)
    parent = place[1] if place else ""
    missing = _MISSING.search(message)
    if missing:
        attr = f"{parent}.{missing[1]}" if parent else missing[1]
        return invalid(attr, "required", f"{attr} is required")
    said = message.split(" - at ", maxsplit=1)[0]
    return invalid(parent or None, "invalid_input", f"{parent or 'the body'}: {said[:1].lower()}{said[1:]}")

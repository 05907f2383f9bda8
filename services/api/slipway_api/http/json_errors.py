"""Explain in one sentence why a body is not valid JSON."""

import codecs
import json


def why_not_json(content: bytes, error: Exception) -> str:
    """Explain in one sentence why a body is not valid JSON.

    Args:
        content: the body.
        error: the exception of `json` or `orjson`, both of which report a line and column if known.
    """
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        return "the body is empty; send JSON"
    if isinstance(error, RecursionError) or "depth limit" in str(error):
        return "the body is nested too deeply"
    try:
        content.decode()
    except UnicodeDecodeError as wrong:
        return f"the body is not JSON: it is not UTF-8, as byte {wrong.start} is hexadecimal {content[wrong.start]:02X}"
    if not (encoding := json.detect_encoding(content)).startswith(
        "utf-8"
    ):  # its bytes may also be valid UTF-8, with NULs
        return f"the body is not JSON: it is not UTF-8, but looks like {encoding[:6].upper()}"
    place = f": line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    return f"a number in the body is too large{place}" if is_huge_number(error) else f"the body is not JSON{place}"


def is_huge_number(error: BaseException | None) -> bool:
    """Return whether `json` or `orjson` failed because of a valid number that is too large."""
    if isinstance(error, json.JSONDecodeError):
        return "infinity when parsed" in error.msg
    # For an integer of thousands of digits, `json` raises the error of Python's `int`.
    return isinstance(error, ValueError) and not isinstance(error, UnicodeError)

"""Why a body is not valid JSON, in one sentence."""

import codecs
import json


def why_not_json(content: bytes, error: Exception) -> str:
    """Return in a sentence why a body is not JSON.

    Args:
        content: the body.
        error: what `json` or `orjson` raised; both tell a line and a column where they know them.
    """
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        return "the body is empty; send JSON"
    if isinstance(error, RecursionError) or "depth limit" in str(error):
        return "the body is nested too deep"
    try:
        content.decode()
    except UnicodeDecodeError as wrong:
        return f"the body is not JSON: it is not UTF-8, as byte {wrong.start} is hexadecimal {content[wrong.start]:02X}"
    if not (encoding := json.detect_encoding(content)).startswith("utf-8"):  # its ASCII is UTF-8, with zeros in it
        return f"the body is not JSON: it is not UTF-8, but looks like {encoding[:6].upper()}"
    place = f": line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    return f"a number in the body is too large{place}" if is_huge_number(error) else f"the body is not JSON{place}"


def is_huge_number(error: BaseException | None) -> bool:
    """Tell whether `json` or `orjson` raised an error for a number that is JSON, and that they do not read."""
    if isinstance(error, json.JSONDecodeError):
        return "infinity when parsed" in error.msg
    # Of an integer of thousands of digits `json` passes on what Python's `int` says.
    return isinstance(error, ValueError) and not isinstance(error, UnicodeError)

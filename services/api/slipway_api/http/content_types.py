"""What bodies are, how they are read once the caller may send them, and which kind an answer is wanted in."""

import codecs
import json
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from slipway_api.errors import InvalidInputError, UnsupportedMediaTypeError
from slipway_core.errors import Problem

M = TypeVar("M", bound=BaseModel)


async def require_json(request: Request) -> None:
    """Refuse a body that does not say that it is JSON (a FastAPI dependency).

    Raises:
        UnsupportedMediaTypeError: the content type is another, or missing.
    """
    check_json(media_type(request.headers.get("Content-Type", "")))


def media_type(content_type: str) -> str:
    """Return the media type of a `Content-Type` in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def check_json(given: str) -> None:
    """Refuse a media type that is not JSON.

    Raises:
        UnsupportedMediaTypeError: it is another, or missing.
    """
    if given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        what = f"{given} is not understood here" if given else "the body has no content type"
        raise UnsupportedMediaTypeError(f"{what}; send the header `Content-Type: application/json`")


def json_body(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Return a FastAPI dependency that reads the body as a model.

    FastAPI reads a body of its own before any dependency, so that who may not call would be told what is wrong with
    the body. A dependency is read in its turn: put it behind the one that checks the caller. OpenAPI is told of the
    body by `slipway_api.http.openapi.body`.
    """

    async def read(request: Request) -> M:
        await require_json(request)
        try:
            # As text: of bytes it would guess the encoding.
            content = json.loads((await request.body()).decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise InvalidInputError([Problem(("body",), why_not_json(await request.body(), error))]) from error
        if not isinstance(content, dict):
            fields = ", ".join(model.model_fields)
            raise InvalidInputError([Problem(("body",), f"the body must be an object with the fields {fields}")])
        try:
            return model.model_validate(content)
        except ValidationError as error:
            raise RequestValidationError(
                [
                    {**item, "type": _kind(item["type"], item["input"]), "loc": ("body", *item["loc"])}
                    for item in error.errors()
                ]
            ) from None

    return read


def _kind(kind: str, given: object) -> str:
    """Return pydantic's kind of an error, or ours: an integer that is too large for a float64 is no number to it."""
    return "number_too_large" if kind == "float_type" and type(given) is int else kind


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


def check_encoding(given: bytes) -> None:
    """Refuse a compressed body: a `Content-Encoding` other than none.

    Raises:
        UnsupportedMediaTypeError: the body is compressed.
    """
    if given.strip().lower() not in {b"", b"identity"}:
        raise UnsupportedMediaTypeError("compressed bodies are not understood here; send it without Content-Encoding")


def prefers_csv(accept: bytes) -> bool:
    """Return whether an `Accept` header (RFC 9110, 12.5.1) prefers CSV to JSON; without the header it does not."""
    return _prefers(accept, "text/csv")


def prefers_html(accept: bytes) -> bool:
    """Return whether an `Accept` header prefers HTML to JSON, as those of browsers do."""
    return _prefers(accept, "text/html")


def _prefers(accept: bytes, text: str) -> bool:
    best, is_text = 0.0, False
    for item in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:].strip() for part in parameters if part.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.[0-9]{0,3})?", quality) else 0.0
        if kind in {text, "text/*", "application/json", "application/*", "*/*"} and weight > best:
            best, is_text = weight, kind.startswith("text/")
    return is_text

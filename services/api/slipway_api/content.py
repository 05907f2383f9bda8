"""What bodies are, how they are read once the caller may send them, and which kind an answer is wanted in."""

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
    body by `slipway_api.openapi.body`.
    """

    async def read(request: Request) -> M:
        await require_json(request)
        try:
            content = json.loads(await request.body())
        except (ValueError, RecursionError) as error:
            raise InvalidInputError([Problem(("body",), why_not_json(await request.body(), error))]) from error
        if not isinstance(content, dict):
            fields = ", ".join(model.model_fields)
            raise InvalidInputError([Problem(("body",), f"the body must be an object with the fields {fields}")])
        try:
            return model.model_validate(content)
        except ValidationError as error:
            raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from None

    return read


def why_not_json(content: bytes, error: Exception) -> str:
    """Return in a sentence why a body is not JSON.

    Args:
        content: the body.
        error: what `json` or `orjson` raised; both tell a line and a column where they know them.
    """
    if not content.strip():
        return "the body is empty; send JSON"
    if isinstance(error, RecursionError) or "depth limit" in str(error):
        return "the body is nested too deep"
    try:
        content.decode()
    except UnicodeDecodeError as wrong:
        return f"the body is not JSON: it is not UTF-8, as byte {wrong.start} is hexadecimal {content[wrong.start]:02X}"
    if isinstance(error, json.JSONDecodeError):
        return f"the body is not JSON: line {error.lineno}, column {error.colno}"
    return "the body is not JSON"  # such as an integer of thousands of digits, which Python does not read


def check_encoding(given: bytes) -> None:
    """Refuse a compressed body: a `Content-Encoding` other than none.

    Raises:
        UnsupportedMediaTypeError: the body is compressed.
    """
    if given.strip().lower() not in {b"", b"identity"}:
        raise UnsupportedMediaTypeError("compressed bodies are not understood here; send it without Content-Encoding")


def prefers_csv(accept: bytes) -> bool:
    """Tell whether an `Accept` header (RFC 9110, 12.5.1) would rather have CSV than JSON; without one it would not."""
    best, is_csv = 0.0, False
    for item in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:].strip() for part in parameters if part.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.[0-9]{0,3})?", quality) else 0.0
        if kind in {"text/csv", "text/*", "application/json", "application/*", "*/*"} and weight > best:
            best, is_csv = weight, kind.startswith("text/")
    return is_csv

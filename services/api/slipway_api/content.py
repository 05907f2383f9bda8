"""Bodies that are no forms: their one content type, and how they are read once the caller may send them."""

import json
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
            raise InvalidInputError([Problem(("body",), "this is not JSON")]) from error
        try:
            return model.model_validate(content)
        except ValidationError as error:
            raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from None

    return read

"""JSON bodies of routes, read after the caller was checked."""

import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from slipway_api.errors import InvalidInputError
from slipway_api.http.content_types import check_json, media_type
from slipway_api.http.json_errors import why_not_json
from slipway_core.errors import Problem

M = TypeVar("M", bound=BaseModel)


def json_body(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Return a FastAPI dependency that reads the body as a model.

    FastAPI itself reads a declared body before it runs any dependency, so an unauthorised caller would get errors
    about the body. Declare this dependency after the one that checks the caller. `slipway_api.http.openapi.body`
    adds the body to the OpenAPI document.
    """

    async def read(request: Request) -> M:
        check_json(media_type(request.headers.get("Content-Type", "")))
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

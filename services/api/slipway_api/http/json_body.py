"""Read JSON bodies of routes after the caller is authorized."""

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
    """Return a FastAPI dependency that parses the body as a model.

    FastAPI parses a declared body before it runs any dependency, so an unauthorized caller would get errors about the
    body. Declare this dependency after the one that authorizes the caller. `slipway_api.http.openapi.body` adds the
    body to the OpenAPI document.
    """

    async def read(request: Request) -> M:
        check_json(media_type(request.headers.get("Content-Type", "")))
        try:
            # From bytes, `json` would guess the encoding.
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


def _kind(kind: str, value: object) -> str:
    """Return pydantic's kind of an error, or a separate kind for integers beyond float64."""
    return "number_too_large" if kind == "float_type" and type(value) is int else kind

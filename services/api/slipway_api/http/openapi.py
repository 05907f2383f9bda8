"""Complete the OpenAPI document with the error responses of each route and the problem schema."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import JSONResponse, Response

from slipway_api.http.problems import KSERVE_PREFIXES, PROBLEM_JSON, KServeError, ProblemDetails

# A value of a row; which types a model takes is part of its signature.
FeatureValue = float | str | bool | None
Responses = dict[int | str, dict[str, Any]]

_MEANINGS: Mapping[int, tuple[str, str]] = {
    401: ("The token or the API key is missing or invalid.", "a token is required: send `Authorization: Bearer …`"),
    403: ("The caller's role or API key does not permit this.", "only an admin may do this"),
    404: ("The resource does not exist.", "no model named rose is served; GET /models lists the served models"),
    409: (
        "The name is taken, it is the last active admin, the row has feedback, or the account has too many API keys.",
        "the name alice is taken; choose another",
    ),
    413: (
        "The body or the batch exceeds its limit.",
        "12000 rows exceed the limit of 10000; send them in parts",
    ),
    415: (
        "The content type or the content coding is not supported; for the latter, see Accept-Encoding.",
        "send the header `Content-Type: application/json`",
    ),
    422: ("The input is invalid; `errors` lists the places.", "'petal width (cm)' must be a number, not a string"),
    429: ("Rate limit exceeded; see Retry-After.", "too many logins at once; try again in a moment"),
    504: ("The request timed out.", "the request timed out after 30 s; request less at once"),
    503: ("Temporarily unavailable; see Retry-After.", "iris is not loaded yet: the model registry cannot be reached"),
}


def errors(*statuses: int) -> Responses:
    """Return the `responses` of a route that may respond with these statuses."""
    return {status: _response(status) for status in statuses}


def kserve_errors(*statuses: int) -> Responses:
    """Return the `responses` of a route below `/v1` or `/v2` that may respond with these statuses."""
    found = errors(*statuses)
    for status, answer in found.items():
        content = {
            "schema": {"$ref": f"#/components/schemas/{KServeError.__name__}"},
            "example": {"error": _MEANINGS[int(status)][1]},
        }
        answer["content"] = {"application/json": content}
    return found


def _response(status: int) -> dict[str, Any]:
    description, detail = _MEANINGS[status]
    example = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": "/predict",
        "request_id": "0b6d1d5e-9d0f-4f6e-8a53-1d3f5f0a9f2c",
        "errors": [],
    }
    answer: dict[str, Any] = {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "example": example}},
    }
    header = {
        401: "WWW-Authenticate",
        415: "Accept-Encoding",
        429: "Retry-After",
        503: "Retry-After",
    }.get(status)
    if header:
        answer["headers"] = {header: {"schema": {"type": "string"}}}
    return answer


def body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads its body with `slipway_api.http.json_body.json_body`."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _limits(path: str, unlimited: Collection[str]) -> Responses:
    """Return the responses of the gateway for a path: a timeout, or too many requests."""
    statuses = (504,) if path in unlimited else (503, 504)
    return kserve_errors(*statuses) if f"{path}/".startswith(KSERVE_PREFIXES) else errors(*statuses)


def install(
    app: FastAPI, *, described: Sequence[APIRouter], bodies: Sequence[type[BaseModel]], unlimited: Collection[str]
) -> None:
    """Complete an app's schema.

    Args:
        app: its routes do not declare the problem details, which are added.
        described: routes that are only documented, because the prediction endpoint serves them.
        bodies: the models that `body` refers to.
        unlimited: paths without a limit of concurrent requests.
    """

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=[*(route for router in described for route in router.routes), *app.routes],
                tags=app.openapi_tags,
            )
            _, definitions = models_json_schema(
                [
                    *((error, "serialization") for error in (ProblemDetails, KServeError)),
                    *((model, "validation") for model in bodies),
                ],
                ref_template="#/components/schemas/{model}",
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(definitions["$defs"])
            # FastAPI adds its own validation error wherever a body is declared; replace it with problem details.
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            # It also adds one to every route with a parameter; string parameters cannot fail.
            for operation in [one for path in document["paths"].values() for one in path.values()]:
                content = operation["responses"].get("422", {}).get("content", {})
                if "HTTPValidationError" in str(content.get("application/json")):
                    del operation["responses"]["422"]
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    limits = {str(status): answer for status, answer in _limits(path, unlimited).items()}
                    operation["responses"] = limits | operation["responses"]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]  # as in FastAPI's documentation
    _encode_once(app)


def _encode_once(app: FastAPI) -> None:
    """Replace the route of the document, because FastAPI would encode it again for every request.

    The first request encodes it in a thread: that takes a quarter of a second and must not block the event loop.
    """
    encoding: asyncio.Task[bytes] | None = None

    async def document(_request: Request) -> Response:
        nonlocal encoding
        if encoding is None:
            encoding = asyncio.create_task(asyncio.to_thread(lambda: bytes(JSONResponse(app.openapi()).body)))
        # Shielded, because other requests may await the same task when this client disconnects.
        return Response(await asyncio.shield(encoding), media_type=JSONResponse.media_type)

    app.router.routes[:] = [route for route in app.routes if getattr(route, "path", None) != app.openapi_url]
    app.add_route(app.openapi_url or "/openapi.json", document, include_in_schema=False)

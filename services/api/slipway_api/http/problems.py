"""Convert every error to RFC 9457 problem details. One table maps our errors to statuses."""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from slipway_api.errors import (
    AuthenticationError,
    ConflictError,
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    NotYetThereError,
    PermissionDeniedError,
    SlowBodyError,
    TooLargeError,
    TooManyRequestsError,
    UnsupportedEncodingError,
    UnsupportedMediaTypeError,
    UnusableAnswerError,
)
from slipway_api.http.content_codings import ACCEPTED
from slipway_api.http.sagemaker_errors import ERROR_TYPE, error_fields, is_sagemaker
from slipway_core.errors import FeaturesError, Problem, SlipwayError
from slipway_core.feature_values import MAX_PROBLEMS
from slipway_core.logging import get_logger
from slipway_core.printable import SHOWN

PROBLEM_JSON = "application/problem+json"
# Paths whose errors have the format of KServe's protocols, v1 and v2.
KSERVE_PREFIXES = ("/v1/", "/v2/")
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
SHOWN_PATH = 200
UNEXPECTED = "internal server error; the API's log has the details under this request id"

STATUS: Mapping[type[SlipwayError], HTTPStatus] = {
    AuthenticationError: HTTPStatus.UNAUTHORIZED,
    PermissionDeniedError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    NotYetThereError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UnsupportedEncodingError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    FeaturesError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyRequestsError: HTTPStatus.TOO_MANY_REQUESTS,
    NotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
    SlowBodyError: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineError: HTTPStatus.GATEWAY_TIMEOUT,
    UnusableAnswerError: HTTPStatus.SERVICE_UNAVAILABLE,
}

# By pydantic's error types.
_SENTENCES: Mapping[str, str] = {
    "missing": "the field {name!r} is missing",
    "extra_forbidden": "unknown field {name!r}; remove it",
    **dict.fromkeys(("string_type", "string_unicode"), "{name!r} must be a string"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "{name!r} must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "{name!r} must be an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), "{name!r} must be a number"),
    "finite_number": "{name!r} must be a finite number, not NaN or infinity",
    "number_too_large": "{name!r} is too large",
}

log = get_logger("slipway.problems")


class ProblemItem(BaseModel):
    """An invalid place in the request."""

    loc: list[str | int] = Field(description="Path of keys and indices from the body's root.")
    msg: str = Field(description="Error at this place.")


class ProblemDetails(BaseModel):
    """An error in the format of RFC 9457."""

    type: str = Field(description="Always `about:blank`: the status identifies the error.")
    title: str = Field(description="Name of the status.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What is wrong, and what to do.")
    instance: str = Field(description="Path of the request.")
    request_id: str = Field(description="Id of the request, as in the header X-Request-ID and the log.")
    errors: list[ProblemItem] = Field(description="Invalid places in the request.")


class KServeError(BaseModel):
    """An error in the format of KServe's protocols."""

    error: str = Field(description="What is wrong, and what to do.")


def problem_response(
    scope: Mapping[str, Any],
    status: int,
    detail: str,
    *,
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as problem details, or in the format of KServe's protocols below `/v1` and `/v2`.

    Below `/endpoints`, the problem details have further fields for SageMaker's clients.

    Args:
        scope: the request's ASGI scope, with its path and request id.
        status: the HTTP status.
        detail: one sentence for the client.
        problems: the invalid places.
        headers: additional response headers.
    """
    if _is_kserve(scope):
        return Response(_encode({"error": detail}), status, dict(headers or {}), "application/json")
    headers = dict(headers or {})
    body = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "instance": _shown(scope["path"]),
        "request_id": scope.get("state", {}).get("request_id", ""),
        "errors": [{"loc": list(problem.loc), "msg": problem.msg} for problem in problems],
    }
    if is_sagemaker(scope["path"]):
        headers[ERROR_TYPE], fields = error_fields(status, detail)
        body |= fields
    return Response(_encode(body), status, headers, PROBLEM_JSON)


def _is_kserve(scope: Mapping[str, Any]) -> bool:
    return f"{scope['path']}/".startswith(KSERVE_PREFIXES)


def install(app: FastAPI) -> None:
    """Install handlers that convert every error of an app to problem details."""
    app.add_exception_handler(SlipwayError, _on_our_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


async def _on_our_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, SlipwayError):  # the handler's type is Starlette's
        raise error
    return error_response(request.scope, error)


async def _on_unexpected_error(request: Request, _error: Exception) -> Response:
    return problem_response(request.scope, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)


def error_response(scope: Mapping[str, Any], error: SlipwayError) -> Response:
    """Return the response to one of our errors, according to the table above."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)
    if status is None:
        log.error("unmapped_error", error=type(error).__name__, reason=str(error))
        return problem_response(scope, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyRequestsError | NotReadyError | NotYetThereError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, SlowBodyError):
        headers["Connection"] = "close"
    if isinstance(error, UnsupportedEncodingError):
        headers["Accept-Encoding"] = ACCEPTED
    problems = error.problems if isinstance(error, FeaturesError | InvalidInputError) else ()
    sentences = str(error)
    # Their formats have no other field for the place.
    if isinstance(error, FeaturesError) and (_is_kserve(scope) or is_sagemaker(scope["path"])):
        sentences = "; ".join([f"{'/'.join(map(str, problem.loc))}: {problem.msg}" for problem in problems])
    detail = sentences if len(problems) <= 1 else f"{len(problems)} errors: {sentences}"
    return problem_response(scope, status, detail, problems=problems, headers=headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):  # the handler's type is Starlette's
        raise error
    problems = []
    for item in error.errors()[:MAX_PROBLEMS]:
        # FastAPI puts the part of the request first; omit it for a body.
        loc = tuple(item["loc"])[1:] if item["loc"][:1] == ("body",) and len(item["loc"]) > 1 else tuple(item["loc"])
        # Names are chosen by the client: limit their number and length.
        loc = tuple(key[:SHOWN] if isinstance(key, str) else key for key in loc)
        problems.append(Problem(loc, _sentence(item["type"], item["msg"], str(loc[-1]))))
    return error_response(request.scope, InvalidInputError(problems))


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # as above
        raise error
    if isinstance(error.__cause__, SlipwayError):  # FastAPI wraps errors raised while it reads a body
        return error_response(request.scope, error.__cause__)
    if isinstance(error.__cause__, ClientDisconnect):
        raise error.__cause__
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.__cause__, ValueError | RecursionError):
        return error_response(request.scope, InvalidInputError([Problem(("body",), "the body is not JSON")]))
    path, headers = _shown(request.url.path), error.headers
    details = {
        HTTPStatus.NOT_FOUND: f"{path} does not exist; /docs lists the API's paths",
    }
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_allowed(request))
        details[HTTPStatus.METHOD_NOT_ALLOWED] = f"{path} does not support {request.method}; use {allowed}"
        headers = {"Allow": allowed}
    detail = details.get(HTTPStatus(error.status_code), str(error.detail))
    return problem_response(request.scope, error.status_code, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """Return the methods of a path; the router only reports those of its first matching route."""

    def takes(method: str) -> bool:
        candidate = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(candidate)[0] is Match.FULL for route in request.app.routes)

    return list(filter(takes, METHODS))


def _shown(path: str) -> str:
    """Return a path for a message, with limited length."""
    return path if len(path) <= SHOWN_PATH else f"{path[:SHOWN_PATH]}…"


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # an unpaired surrogate from a JSON escape, which UTF-8 cannot encode
        return json.dumps(body).encode()


def _title(status: int) -> str:
    return HTTPStatus(status).phrase


def _sentence(kind: str, message: str, name: str) -> str:
    """Rephrase a pydantic message in the style of the other errors."""
    if kind == "value_error":  # ours
        return message.removeprefix("Value error, ")
    if kind in _SENTENCES:
        return _SENTENCES[kind].format(name=name)
    return re.sub(r"^\w+ should ", f"{name!r} must ", message)

"""What surrounds every request: its id, its log line and metrics, its size limit, and the last catch of an error."""

import re
import time
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway_api.errors import TooLargeError
from slipway_api.metrics import Metrics
from slipway_api.problems import UNEXPECTED, problem_response
from slipway_core.logging import get_logger, request_context

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._:-]{1,128}")
UNMATCHED_ROUTE = "(no route)"
# Not in HTTP's registry; what proxies write into their logs when a client leaves in mid-request.
CLIENT_CLOSED_REQUEST = 499
QUIET_ROUTES = frozenset({"/health/live", "/health/ready", "/metrics"})
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = get_logger("slipway.requests")


class RequestContext:
    """Gives each request an id, counts and times it, logs it, and answers 500 to what nobody else has caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if REQUEST_ID_PATTERN.fullmatch(given) else str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with request_context(request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except ClientDisconnect:
                status = CLIENT_CLOSED_REQUEST  # nobody is there to be answered
            except Exception:
                log.exception("request_failed", method=scope["method"], path=scope["path"])
                if started:
                    raise
                answer = problem_response(scope, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)
                await answer(scope, receive, send_with_id)
            finally:
                self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED_ROUTE)
        method = scope["method"] if scope["method"] in KNOWN_METHODS else "(other)"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.request_seconds.labels(method, route).observe(seconds)
        tell = log.debug if route in QUIET_ROUTES else log.info
        tell("request", method=method, path=scope["path"], status=status, duration_ms=round(seconds * 1000, 3))


class BodyLimit:
    """Refuses a body over a limit: by its declared length at once, else as soon as it has grown too long."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        message = f"the body is over the limit of {self._max_bytes} bytes; send it in parts"
        declared = Headers(scope=scope).get("Content-Length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > self._max_bytes:
            answer = problem_response(scope, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
            await answer(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            part = await receive()
            received += len(part.get("body", b""))
            if received > self._max_bytes:
                raise TooLargeError(message)
            return part

        await self._app(scope, receive_limited, send)

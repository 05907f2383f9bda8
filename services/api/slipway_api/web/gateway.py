"""The outermost ASGI application: it surrounds every request, and dispatches predictions directly.

It adds the request id, the limits of concurrency and time, the security headers, metrics and the access log, and
handles unexpected errors. Predictions go directly to their endpoint; everything else goes to FastAPI.
"""

import functools
import re
import time
import uuid
from http import HTTPStatus
from typing import Final, NamedTuple

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway_api.accounts.service import AccountService
from slipway_api.errors import DeadlineError, NotReadyError, TooManyRequestsError
from slipway_api.http.deadlines import Deadline, Deadlines
from slipway_api.http.problems import UNEXPECTED, error_response, problem_response
from slipway_api.http.request_body import BODY_IS_LATE, BodyLimit, header
from slipway_api.metrics import Metrics
from slipway_api.settings import ApiSettings
from slipway_api.web.dependencies import is_known_client
from slipway_api.web.head_requests import HeadRequests
from slipway_api.web.prediction_endpoint import PredictionEndpoint, PredictionPaths
from slipway_api.web.request_metrics import QUIET_ROUTES, RequestMetrics, shown_path
from slipway_api.web.routes import PREDICTION_PATHS
from slipway_core.logging import RequestContext, get_logger

REQUEST_ID_HEADER: Final = b"x-request-id"
REQUEST_ID_PATTERN = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Request headers that scripts of other origins may send, and response headers that they may read.
ALLOWED_HEADERS: Final = (
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Inference-Header-Content-Length",
    "X-API-Key",
    "X-Request-ID",
)
EXPOSED_HEADERS: Final = (
    "Inference-Header-Content-Length",
    "Retry-After",
    "X-Prediction-ID",
    "X-Prediction-Warnings",
    "X-Request-ID",
)
# Not in HTTP's registry, but common in proxy logs for a client that disconnected during the request.
CLIENT_CLOSED_REQUEST = 499
# Health checks and metrics must respond under overload, too.
UNLIMITED_PATHS = QUIET_ROUTES


class _Route(NamedTuple):
    """The route label of a request that ends in the gateway."""

    path: str


LOGIN: Final = _Route("/token")

# The OWASP Secure Headers Project's recommendation for APIs: browsers must not render, frame or cache responses.
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
# The pages of /docs run their own scripts.
PAGE_POLICY: Final = (
    b"content-security-policy",
    b"default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
)
STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")
PAGES = ("/docs", "/static-offline-docs")

log = get_logger("slipway.requests")


class Gateway:
    """The ASGI application that the server runs."""

    def __init__(
        self,
        app: FastAPI,
        predictions: PredictionEndpoint,
        accounts: AccountService,
        metrics: Metrics,
        settings: ApiSettings,
    ) -> None:
        self.app = app
        self._accounts = accounts
        limited = BodyLimit(app, settings.max_body_bytes, functools.partial(is_known_client, accounts))
        self._dispatch = PredictionPaths(HeadRequests(limited), predictions, PREDICTION_PATHS)
        self._inside: ASGIApp = self._handle
        if settings.cors_origins:  # also wraps the error responses of the gateway
            self._inside = CORSMiddleware(
                self._handle,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=list(ALLOWED_HEADERS),
                expose_headers=list(EXPOSED_HEADERS),
                max_age=600,
            )
        self._max_in_flight = settings.max_requests_in_flight
        self._deadlines = Deadlines(settings.request_timeout_seconds)
        self._in_flight = 0
        # Routes of Starlette itself, which set no route in the scope.
        pages = frozenset(route.path for route in app.routes if isinstance(route, Route | Mount))
        self._record = RequestMetrics(metrics, pages, logs_all=settings.log_level == "debug")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the lifespan (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        client_id = header(scope, REQUEST_ID_HEADER)
        known = client_id if REQUEST_ID_PATTERN.fullmatch(client_id) else str(uuid.uuid4()).encode()
        request_id = known.decode()
        answer = _Answer(scope, send, known)
        scope.setdefault("state", {}).update(request_id=request_id, answer=answer)
        began = time.perf_counter()
        self._in_flight += 1
        with RequestContext(request_id):
            try:
                await self._inside(scope, receive, answer.send)
            finally:
                self._in_flight -= 1
                self._record(scope, answer.status, time.perf_counter() - began)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: _Answer = scope["state"]["answer"]
        deadline = Deadline(self._deadlines)
        try:
            self._admit(scope)
            with deadline:
                await self._dispatch(scope, receive, send)
        except (NotReadyError, TooManyRequestsError) as error:
            await error_response(scope, error)(scope, receive, send)
        except ClientDisconnect:
            answer.status = CLIENT_CLOSED_REQUEST  # no response possible
        except Exception as error:
            if isinstance(error, TimeoutError) and deadline.is_over and not answer.is_begun:
                await error_response(scope, self._too_late(scope))(scope, receive, send)
                return
            log.exception("request_failed", method=scope["method"], path=shown_path(scope))
            if answer.is_begun and not answer.is_complete:
                answer.status = HTTPStatus.INTERNAL_SERVER_ERROR
                raise
            if not answer.is_begun:
                failed = problem_response(scope, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)
                await failed(scope, receive, send)

    def _too_late(self, scope: Scope) -> DeadlineError:
        seconds = f"{self._deadlines.seconds:g} s"
        if scope["state"].get(BODY_IS_LATE):
            return DeadlineError(f"the body did not arrive within {seconds}; send it again or in parts")
        return DeadlineError(f"the request timed out after {seconds}; request less at once")

    def _admit(self, scope: Scope) -> None:
        """Reject a request before any of it is read.

        Raises:
            NotReadyError: too many requests are in progress.
            TooManyRequestsError: it is a login and too many passwords are waiting to be hashed. A flood of logins must
                not slow down predictions.
        """
        path = scope["path"]
        if self._in_flight > self._max_in_flight and path not in UNLIMITED_PATHS:
            raise NotReadyError(f"more than {self._max_in_flight} requests are in progress; try again in a moment", 1)
        if path == LOGIN.path:
            try:
                self._accounts.require_login_capacity()
            except TooManyRequestsError:
                scope["route"] = LOGIN
                raise


class _Answer:
    """Forward a response with the common headers, and record its status and progress."""

    __slots__ = ("_headers", "_scope", "_send", "is_begun", "is_complete", "status")

    def __init__(self, scope: Scope, send: Send, request_id: bytes) -> None:
        self._scope = scope
        self._send = send
        self._headers = (REQUEST_ID_HEADER, request_id)
        self.status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        self.is_begun = False
        self.is_complete = False

    async def send(self, message: Message) -> None:
        """Forward one message (ASGI)."""
        if message["type"] == "http.response.start":
            self.status, self.is_begun = message["status"], True
            is_page = self._scope["path"].startswith(PAGES)
            message["headers"] = [
                *message["headers"],
                self._headers,
                *(SECURITY_HEADERS if not is_page else (*SECURITY_HEADERS[:-1], PAGE_POLICY)),
            ]
            if self._scope.get("scheme") == "https":
                message["headers"].append(STRICT_TRANSPORT)
        elif not message.get("more_body", False):
            self.is_complete = True
        await self._send(message)

"""The gateway around every request: request id, limits, log line, headers, and unexpected errors."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Self

import httpx
import orjson
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import Message
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_api.http.request_body import SMALL_BODY_BYTES
from slipway_api.serving.work_pool import Key
from slipway_api.settings import MAX_LARGE_BYTES
from slipway_api.web import prediction_endpoint
from slipway_core.registry.memory import InMemoryRegistry
from support.api import LOOPBACK, RunningApi, StartApi
from support.waiting import wait_for

SETOSA = [5.1, 3.5, 1.4, 0.2]


@pytest.mark.parametrize("given", ["abc", "0b6d1d5e-9d0f-4f6e-8a53-1d3f5f0a9f2c", "a.b_c:d-E9", "x" * 128])
def test_sent_request_id_is_used(api: RunningApi, given: str) -> None:
    assert api.get("/health/live", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given", ["", "x" * 129, "two words", "a\tb", "<script>", "a/b", "é", 'a"b'], ids=lambda given: repr(given)[:20]
)
def test_malformed_request_id_is_replaced(api: RunningApi, given: str) -> None:
    answered = api.get("/health/live", headers={"X-Request-ID": given.encode()}).headers["X-Request-ID"]

    assert uuid.UUID(answered).version == 4


def test_request_without_an_id_gets_a_new_one(api: RunningApi) -> None:
    one, two = (api.get("/health/live").headers["X-Request-ID"] for _ in range(2))

    assert uuid.UUID(one) != uuid.UUID(two)


def test_every_event_of_a_request_has_its_id(api: RunningApi, logs: list[EventDict]) -> None:
    api.post("/token", data={"username": "unknown", "password": "x"}, headers={"X-Request-ID": "the-one"})

    assert [(entry["event"], entry["request_id"]) for entry in logs] == [
        ("login_refused", "the-one"),
        ("request", "the-one"),
    ]


def test_request_is_logged_with_its_result(api: RunningApi, logs: list[EventDict]) -> None:
    api.get("/models/rose?x=1", role=Role.USER)

    [entry] = logs
    assert (entry["event"], entry["log_level"]) == ("request", "info")
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/models/rose", 404)
    assert entry["duration_ms"] > 0


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_health_checks_and_scrapes_are_logged_at_debug(api: RunningApi, logs: list[EventDict], path: str) -> None:
    api.get(path)

    assert [entry["log_level"] for entry in logs] == ["debug"]


def test_body_limit_is_inclusive(start_api: StartApi, registry: InMemoryRegistry) -> None:
    body = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    api = start_api(registry, max_body_bytes=len(body))
    headers = {"Content-Type": "application/json"}

    assert api.post("/predict", role=Role.USER, content=body, headers=headers).status_code == 200
    assert api.post("/predict", role=Role.USER, chunks=[body], headers=headers).status_code == 200
    for request in ({"content": body + b" "}, {"chunks": [body, b" "]}):
        answer = api.post("/predict", role=Role.USER, headers=headers, **request)
        assert answer.status_code == 413
        assert (
            answer.json()["detail"]
            == f"the body exceeds the limit of {len(body)} bytes; split it into several requests"
        )


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [("POST", "/users", "/users"), ("PATCH", "/users/uma", "/users/{name}"), ("POST", "/token", "/token")],
)
def test_unread_rejected_body_is_counted_under_its_route(
    start_api: StartApi, registry: InMemoryRegistry, method: str, path: str, route: str
) -> None:
    api = start_api(registry)
    kind = "application/x-www-form-urlencoded" if path == "/token" else "application/json"
    too_large = {"content": b" " * (SMALL_BODY_BYTES + 1), "headers": {"Content-Type": kind}}

    assert api.request(method, path, role=Role.ADMIN, **too_large).status_code == 413

    assert api.sample("slipway_http_requests_total", method=method, route=route, status="413") == 1


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/openapi.json", "/openapi.json"),
        ("/docs", "/docs"),
        ("/static-offline-docs/swagger-ui.css", "/static-offline-docs"),
        ("/openapi.jsonx", "(no route)"),
    ],
)
def test_pages_are_counted_under_their_own_paths(
    start_api: StartApi, registry: InMemoryRegistry, path: str, route: str
) -> None:
    api = start_api(registry)

    status = api.get(path).status_code

    assert status == (404 if route == "(no route)" else 200)
    assert api.sample("slipway_http_requests_total", method="GET", route=route, status=str(status)) == 1


def test_chunked_body_is_rejected_once_it_exceeds_the_limit(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, max_body_bytes=1_000)
    sent = []

    def endless() -> Iterator[bytes]:
        while True:
            sent.append(100)
            yield b" " * 100

    answer = api.post("/predict", role=Role.USER, chunks=endless(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413
    assert sum(sent) == 1_100


async def unexpected() -> None:
    raise RuntimeError("the secret of /opt/slipway/main.py")


async def breaks_off() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError("too late for another status")

    return StreamingResponse(parts())


def add_failing_routes(app: FastAPI) -> None:
    app.add_api_route("/unexpected/{name}", unexpected)
    app.add_api_route("/breaks-off", breaks_off)


def test_unexpected_error_is_logged_counted_and_hidden(
    start_api: StartApi, registry: InMemoryRegistry, logs: list[EventDict]
) -> None:
    api = start_api(registry, prepare=add_failing_routes)

    answer = api.get("/unexpected/x", headers={"X-Request-ID": "the-one"})

    assert answer.status_code == 500
    assert answer.json()["detail"] == "internal server error; the API's log has the details under this request id"
    [entry] = [entry for entry in logs if entry["event"] == "request_failed"]
    assert (entry["request_id"], entry["path"], entry["exc_info"]) == ("the-one", "/unexpected/x", True)
    count = {"method": "GET", "route": "/unexpected/{name}", "status": "500"}
    assert api.sample("slipway_http_requests_total", **count) == 1


def test_interrupted_response_is_not_completed(
    start_api: StartApi, registry: InMemoryRegistry, logs: list[EventDict]
) -> None:
    api = start_api(registry, prepare=add_failing_routes)

    with pytest.raises(RuntimeError, match="too late"):
        api.get("/breaks-off")

    assert "request_failed" in [entry["event"] for entry in logs]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/predict", b"application/json"),
        ("/users", b"application/json"),
        ("/token", b"multipart/form-data; boundary=x"),
    ],
)
def test_client_disconnect_is_not_a_server_error(
    start_api: StartApi, registry: InMemoryRegistry, logs: list[EventDict], path: str, content_type: bytes
) -> None:
    api = start_api(registry)
    headers = [(b"authorization", f"Bearer {api.token(Role.ADMIN)}".encode()), (b"content-type", content_type)]

    async def upload_half() -> None:
        messages: list[Message] = [
            {"type": "http.disconnect"},
            {"type": "http.request", "body": b"--x", "more_body": True},
        ]

        async def receive() -> Message:
            return messages.pop()

        async def send(_message: Message) -> None:
            return

        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        await api.gateway({**scope, "client": LOOPBACK}, receive, send)

    api.portal.call(upload_half)

    assert "request_failed" not in [entry["event"] for entry in logs]
    counted = [labels for labels in api.samples("slipway_http_requests_total") if labels["status"] != "200"]
    assert counted == [{"method": "POST", "route": path, "status": "499"}]


# Limits


class Gate:
    """Block a route until the test opens it."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.entered = 0

    def add_to(self, app: FastAPI) -> None:
        async def wait() -> None:
            self.entered += 1
            await self.opened.wait()

        app.add_api_route("/gate", wait)


def test_requests_over_the_limit_are_rejected_except_health(start_api: StartApi, registry: InMemoryRegistry) -> None:
    gate = Gate()
    api = start_api(registry, prepare=gate.add_to, max_requests_in_flight=2)
    waiting = [api.send("GET", "/gate") for _ in range(2)]
    wait_for(lambda: gate.entered == 2, what="two requests under way")

    refused = api.post("/predict", role=Role.USER, json={"features": SETOSA})
    healthy = api.get("/health/live")
    api.portal.call(gate.opened.set)

    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["detail"] == "more than 2 requests are in progress; try again in a moment"
    assert healthy.status_code == 200
    assert [one.result(timeout=30).status_code for one in waiting] == [200, 200]
    assert api.post("/predict", role=Role.USER, json={"features": SETOSA}).status_code == 200


def test_response_that_takes_too_long_is_cancelled(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, prepare=Gate().add_to, request_timeout_seconds=0.05)

    answer = api.get("/gate")

    assert answer.status_code == 504
    assert answer.json()["detail"] == "the request timed out after 0.05 s; request less at once"
    assert api.sample("slipway_http_requests_total", method="GET", route="/gate", status="504") == 1


def test_endless_body_is_cancelled(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, request_timeout_seconds=0.05)
    headers = [
        (b"authorization", f"Bearer {api.token(Role.USER)}".encode()),
        (b"content-type", b"application/json"),
    ]
    sent: list[Message] = []

    async def upload_for_ever() -> None:
        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers, "query_string": b""}
        await api.gateway({**scope, "client": LOOPBACK}, receive, send)

    api.portal.call(upload_for_ever)

    assert sent[0]["status"] == 504
    assert b"the body did not arrive within 0.05 s" in sent[1]["body"]


def test_predictions_are_rate_limited_by_account(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, predictions_per_minute=30)  # in bursts of three
    asked = [api.post("/predict", role=Role.USER, json={"features": SETOSA}) for _ in range(4)]

    assert [answer.status_code for answer in asked] == [200, 200, 200, 429]
    assert 1 <= int(asked[-1].headers["Retry-After"]) <= 2
    assert api.post("/predict", role=Role.ADMIN, json={"features": SETOSA}).status_code == 200


def test_large_requests_beyond_the_queue_are_rejected(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, max_waiting=0)
    release = threading.Event()
    pool = api.app.state.pool
    key = Key("iris", "1")

    async def hold() -> None:
        await pool.run(key, lambda _: release.wait(30))

    held = [api.portal.start_task_soon(hold) for _ in range(pool.most_per_model)]
    wait_for(lambda: pool._running[key] == pool.most_per_model, what="every thread of the model to be busy")
    large = {"features": [SETOSA] * 1_000}
    refused = api.post("/predict", role=Role.USER, json=large)
    small = api.post("/predict", role=Role.USER, json={"features": SETOSA})
    release.set()
    for one in held:
        one.result(timeout=30)

    assert refused.status_code == 503
    assert "queue" in refused.json()["detail"]
    assert small.status_code == 200
    assert api.post("/predict", role=Role.USER, json=large).status_code == 200


# Headers for browsers


@pytest.mark.parametrize("path", ["/", "/health/live", "/models", "/nowhere", "/predict"])
def test_every_response_sets_restrictive_headers(api: RunningApi, path: str) -> None:
    headers = api.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "Strict-Transport-Security" not in headers


def test_documentation_runs_only_its_own_scripts(api: RunningApi) -> None:
    policy = api.get("/docs").headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_responses_behind_tls_set_hsts(api: RunningApi) -> None:
    transport = httpx.ASGITransport(api.gateway)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="https://slipway") as http:
            return await http.get("/health/live")

    assert "max-age" in api.portal.call(ask).headers["Strict-Transport-Security"]


PREFLIGHT = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}


def test_cross_origin_pages_are_rejected_by_default(api: RunningApi) -> None:
    answer = api.request("OPTIONS", "/predict", headers=PREFLIGHT)

    assert answer.status_code == 405
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_pages_of_configured_origins_are_allowed(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, cors_origins=("https://app.example.com",))

    asked = api.request("OPTIONS", "/predict", headers=PREFLIGHT)
    answered = api.post(
        "/predict", role=Role.USER, json={"features": SETOSA}, headers={"Origin": "https://app.example.com"}
    )
    other = api.request("OPTIONS", "/predict", headers={**PREFLIGHT, "Origin": "https://evil.example.com"})

    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Inference-Header-Content-Length" in asked.headers["Access-Control-Allow-Headers"]
    assert "X-Prediction-ID" in answered.headers["Access-Control-Expose-Headers"]
    assert answered.status_code == 200
    assert answered.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Access-Control-Allow-Origin" not in other.headers


def test_gateway_error_is_readable_by_allowed_origins(start_api: StartApi, registry: InMemoryRegistry) -> None:
    # A trailing slash, which people write and browsers do not.
    api = start_api(
        registry, prepare=Gate().add_to, cors_origins="https://app.example.com/", request_timeout_seconds=0.05
    )

    late = api.get("/gate", headers={"Origin": "https://app.example.com"})

    assert late.status_code == 504
    assert late.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


def test_log_contains_no_account_names(api: RunningApi, logs: list[EventDict]) -> None:
    api.request("PATCH", "/users/alice", role=Role.ADMIN, json={"role": "viewer"})

    assert [entry["path"] for entry in logs if entry["event"] == "request"] == ["/users/{name}"]


async def times_out() -> None:
    raise TimeoutError("of something else than the deadline")


def test_timeout_other_than_the_deadline_is_a_server_error(
    start_api: StartApi, registry: InMemoryRegistry, logs: list[EventDict]
) -> None:
    api = start_api(registry, prepare=lambda app: app.add_api_route("/times-out", times_out))

    assert api.get("/times-out").status_code == 500
    assert "request_failed" in [entry["event"] for entry in logs]


# Bodies


class Upload:
    """Send a prediction whose body arrives in two parts."""

    def __init__(self, api: RunningApi, first: bytes, second: bytes) -> None:
        self._api = api
        self._parts = [(first, True), (second, False)]
        self._headers = [
            (b"authorization", f"Bearer {api.token(Role.USER)}".encode()),
            (b"content-type", b"application/json"),
        ]
        self._begun, self._ended = asyncio.Event(), asyncio.Event()
        self._status = 0

    def __enter__(self) -> Self:
        self._task = self._api.portal.start_task_soon(self._send)
        self._api.portal.call(self._begun.wait)
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end()

    def end(self) -> int:
        """Send the rest and return the status of the response."""
        self._api.portal.call(self._ended.set)
        self._task.result(timeout=30)
        return self._status

    async def _send(self) -> None:
        async def receive() -> Message:
            if len(self._parts) == 1:
                self._begun.set()
                await self._ended.wait()
            body, is_more = self._parts.pop(0)
            return {"type": "http.request", "body": body, "more_body": is_more}

        async def send(message: Message) -> None:
            self._status = message.get("status", self._status)

        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": self._headers, "query_string": b""}
        await self._api.gateway({**scope, "client": LOOPBACK}, receive, send)


def test_large_bodies_over_the_total_memory_limit_are_rejected(
    start_api: StartApi, registry: InMemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_endpoint, "MAX_LARGE_BYTES", 500_000)
    api = start_api(registry)
    large = {"features": [SETOSA] * 5_000}  # 110 KB, which is below the limit

    with Upload(api, b"[" * 450_000, b"") as upload:
        refused = api.post("/predict", role=Role.USER, json=large)
        small = api.post("/predict", role=Role.USER, json={"features": SETOSA})
        upload.end()

    assert refused.status_code == 503
    assert "too many large requests" in refused.json()["detail"]
    assert small.status_code == 200
    assert api.post("/predict", role=Role.USER, json=large).status_code == 200


def test_chunked_body_uses_memory_only_for_received_bytes(
    start_api: StartApi, registry: InMemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_endpoint, "MAX_LARGE_BYTES", 500_000)
    api = start_api(registry)

    with Upload(api, b'{"features": ', orjson.dumps(SETOSA) + b"}") as upload:
        meanwhile = api.post("/predict", role=Role.USER, json={"features": [SETOSA] * 5_000})
        answered = upload.end()

    assert (meanwhile.status_code, answered) == (200, 200)


@pytest.mark.parametrize("path", ["/predict", "/v1/models/iris:predict", "/v2/models/iris/infer", "/invocations"])
@pytest.mark.parametrize("length", [str(2 * MAX_LARGE_BYTES), "9" * 5_000, "0" * 5_000 + "9" * 20])
def test_declared_body_over_the_total_memory_is_too_large(api: RunningApi, path: str, length: str) -> None:
    headers = {"Content-Length": length, "Content-Type": "application/json"}

    assert api.post(path, role=Role.USER, content=b"x", headers=headers).status_code == 413


@pytest.mark.parametrize("path", ["/predict", "/users"])
def test_declared_length_may_have_any_number_of_zeros(api: RunningApi, path: str) -> None:
    headers = {"Content-Length": "0" * 5_000 + "1", "Content-Type": "application/json"}

    assert api.post(path, role=Role.ADMIN, content=b"1", headers=headers).status_code == 422


def test_caller_disabled_during_upload_is_rejected(
    start_api: StartApi, registry: InMemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_endpoint, "STALE_SECONDS", 0.0)
    api = start_api(registry)

    with Upload(api, b'{"features": ', orjson.dumps(SETOSA) + b"}") as upload:
        name = api.get("/users/me", role=Role.USER).json()["username"]
        api.request("PATCH", f"/users/{name}", role=Role.ADMIN, json={"disabled": True}).raise_for_status()
        answered = upload.end()

    assert answered == 401

"""What surrounds every request: its id, its size limit, its log line, and the last catch of an error."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import Message
from structlog.typing import EventDict

from slipway_api.accounts import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import LOOPBACK, RunningApi, StartApi


@pytest.mark.parametrize("given", ["abc", "0b6d1d5e-9d0f-4f6e-8a53-1d3f5f0a9f2c", "a.b_c:d-E9", "x" * 128])
def test_a_request_id_that_is_sent_is_taken(api: RunningApi, given: str) -> None:
    assert api.get("/health/live", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given", ["", "x" * 129, "two words", "a\tb", "<script>", "a/b", "é", 'a"b'], ids=lambda given: repr(given)[:20]
)
def test_a_malformed_request_id_is_replaced(api: RunningApi, given: str) -> None:
    answered = api.get("/health/live", headers={"X-Request-ID": given.encode()}).headers["X-Request-ID"]

    assert uuid.UUID(answered).version == 4


def test_a_request_without_an_id_gets_one_of_its_own(api: RunningApi) -> None:
    one, two = (api.get("/health/live").headers["X-Request-ID"] for _ in range(2))

    assert uuid.UUID(one) != uuid.UUID(two)


def test_every_event_of_a_request_has_its_id(api: RunningApi, logs: list[EventDict]) -> None:
    api.post("/token", data={"username": "nobody", "password": "x"}, headers={"X-Request-ID": "the-one"})

    assert [(entry["event"], entry["request_id"]) for entry in logs] == [
        ("login_refused", "the-one"),
        ("request", "the-one"),
    ]


def test_a_request_is_logged_with_what_came_of_it(api: RunningApi, logs: list[EventDict]) -> None:
    api.get("/models/rose?x=1", role=Role.USER)

    [entry] = logs
    assert (entry["event"], entry["log_level"]) == ("request", "info")
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/models/rose", 404)
    assert entry["duration_ms"] > 0


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_what_machines_ask_all_the_time_is_logged_quietly(api: RunningApi, logs: list[EventDict], path: str) -> None:
    api.get(path)

    assert [entry["log_level"] for entry in logs] == ["debug"]


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(start_api: StartApi, registry: InMemoryRegistry) -> None:
    body = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
    api = start_api(registry, max_body_bytes=len(body))
    headers = {"Content-Type": "application/json"}

    assert api.post("/predict", role=Role.USER, content=body, headers=headers).status_code == 200
    assert api.post("/predict", role=Role.USER, chunks=[body], headers=headers).status_code == 200
    for request in ({"content": body + b" "}, {"chunks": [body, b" "]}):
        answer = api.post("/predict", role=Role.USER, headers=headers, **request)
        assert answer.status_code == 413
        assert answer.json()["detail"] == f"the body is over the limit of {len(body)} bytes; send it in parts"


def test_a_stream_is_cut_off_as_soon_as_it_is_too_long(start_api: StartApi, registry: InMemoryRegistry) -> None:
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


def test_an_unexpected_error_is_logged_counted_and_not_told(
    start_api: StartApi, registry: InMemoryRegistry, logs: list[EventDict]
) -> None:
    api = start_api(registry, prepare=add_failing_routes)

    answer = api.get("/unexpected/x", headers={"X-Request-ID": "the-one"})

    assert answer.status_code == 500
    assert answer.json()["detail"] == "something went wrong on our side; the log has more under this request id"
    [entry] = [entry for entry in logs if entry["event"] == "request_failed"]
    assert (entry["request_id"], entry["path"], entry["exc_info"]) == ("the-one", "/unexpected/x", True)
    count = {"method": "GET", "route": "/unexpected/{name}", "status": "500"}
    assert api.sample("slipway_http_requests_total", **count) == 1


def test_an_answer_that_breaks_off_is_not_finished_as_if_it_were_whole(
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
def test_a_client_that_goes_away_is_no_fault_of_ours(
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
        await api.front({**scope, "client": LOOPBACK}, receive, send)

    api.portal.call(upload_half)

    assert "request_failed" not in [entry["event"] for entry in logs]
    counted = [(labels["route"], labels["status"]) for labels in api.samples("slipway_http_requests_total")]
    assert counted == [(path, "499")]

"""Retries: which failures, how often, and after which time. The responses are made up, because they must be exact."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import httpx
import pytest

import slipway_client.runners
from slipway_client import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    NotFoundError,
    RateLimitedError,
    Retry,
    ServiceUnavailableError,
    SlipwayError,
    TimedOutError,
)

URL = "http://slipway"
PREDICTION = httpx.Response(200, json={"id": "1", "model": "iris", "version": "1", "prediction": [0]})
FEEDBACK = httpx.Response(201, json={"row": 0, "label": "setosa"})
USER = httpx.Response(200, json={"username": "uma", "role": "user"})

Outcome = httpx.Response | type[httpx.TransportError]


def rejected(status: int, retry_after: str | None = None) -> httpx.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(status, json={"detail": "try again"}, headers=headers)


class Script:
    """A handler that gives one outcome after another."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.left = list(outcomes)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        outcome = self.left.pop(0)
        if isinstance(outcome, httpx.Response):  # a response can be read only once
            return httpx.Response(outcome.status_code, headers=outcome.headers, content=outcome.content)
        raise outcome("made up", request=request)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waiting times of the clients, which do not wait."""
    seconds: list[float] = []

    async def sleep(wait: float) -> None:
        seconds.append(wait)

    monkeypatch.setattr(slipway_client.runners, "time", SimpleNamespace(sleep=seconds.append))
    monkeypatch.setattr(slipway_client.runners, "asyncio", SimpleNamespace(sleep=sleep))
    return seconds


def predict(client: Client) -> object:
    return client.predict([1.0])


def give_feedback(client: Client) -> object:
    return client.feedback("an-id", "setosa")


def roll_back(client: Client) -> object:
    return client.rollback("iris", "wrong")


def read(client: Client) -> object:
    return client.me()


def log_in(client: Client) -> object:
    return client.login("uma", "secret")


@pytest.mark.parametrize(
    ("call", "outcomes", "waits"),
    [
        (predict, [PREDICTION], []),
        # Not sent.
        (predict, [httpx.ConnectError, httpx.ConnectTimeout, PREDICTION], [(0.25, 0.5), (0.5, 1.0)]),
        (give_feedback, [httpx.ConnectError, FEEDBACK], [(0.25, 0.5)]),
        # Rejected, with a time.
        (predict, [rejected(429, "3"), PREDICTION], [(3, 3.5)]),
        (give_feedback, [rejected(503, "2"), FEEDBACK], [(2, 2.5)]),
        (give_feedback, [rejected(404, "1"), FEEDBACK], [(1, 1.5)]),
        (log_in, [rejected(429, "7"), httpx.Response(200, json={"access_token": "t"})], [(7, 7.5)]),
        # More rate limits than attempts.
        (predict, [*[rejected(429, "1")] * 9, PREDICTION], [(1, 1.5)] * 9),
        # A lost response of a request that can be repeated.
        (predict, [httpx.ReadTimeout, PREDICTION], [(0.25, 0.5)]),
        (predict, [httpx.RemoteProtocolError, httpx.ReadError, PREDICTION], [(0.25, 0.5), (0.5, 1.0)]),
        (read, [httpx.WriteError, USER], [(0.25, 0.5)]),
        # A proxy without the API.
        (predict, [rejected(502), rejected(503), PREDICTION], [(0.25, 0.5), (0.5, 1.0)]),
        (read, [httpx.Response(502), httpx.Response(503, content=b"<html>"), USER], [(0.25, 0.5), (0.5, 1.0)]),
    ],
)
def test_safe_retries_succeed_after_a_wait(
    slept: list[float],
    call: Callable[[Client], object],
    outcomes: Sequence[Outcome],
    waits: Sequence[tuple[float, float]],
) -> None:
    script = Script(*outcomes)
    with Client(URL, token="t", transport=httpx.MockTransport(script)) as client:
        assert call(client)

    assert script.left == []
    assert [low <= wait <= high for wait, (low, high) in zip(slept, waits, strict=True)] == [True] * len(waits)


@pytest.mark.parametrize(
    ("call", "outcomes", "error"),
    [
        # All attempts failed.
        (predict, [httpx.ConnectError] * 3, ConnectionFailedError),
        (predict, [httpx.ReadTimeout] * 3, TimedOutError),
        (read, [rejected(503, "1")] * 3, ServiceUnavailableError),
        # The request may have had its effect.
        (give_feedback, [httpx.ReadTimeout], TimedOutError),
        (give_feedback, [httpx.RemoteProtocolError], ConnectionFailedError),
        (log_in, [rejected(502)], SlipwayError),
        (give_feedback, [rejected(503)], ServiceUnavailableError),
        (roll_back, [rejected(503, "2")], ServiceUnavailableError),
        (roll_back, [httpx.ReadTimeout], TimedOutError),
        # The wait is too long, or not a number of seconds.
        (predict, [rejected(429, "61")], RateLimitedError),
        (predict, [rejected(429, "Sun, 29 Nov 2026 12:00:00 GMT")], RateLimitedError),
        (predict, [rejected(429)], RateLimitedError),
        # All waits together are too long.
        (predict, [rejected(429, "25"), rejected(429, "25"), rejected(429, "25")], RateLimitedError),
        # A retry does not help.
        (predict, [rejected(404)], NotFoundError),
        (predict, [rejected(500, "1")], SlipwayError),
        (predict, [httpx.Response(504, json={"detail": "the time is up"})], SlipwayError),
    ],
)
def test_other_failures_are_raised(
    slept: list[float], call: Callable[[Client], object], outcomes: Sequence[Outcome], error: type[SlipwayError]
) -> None:
    script = Script(*outcomes)

    with Client(URL, token="t", transport=httpx.MockTransport(script)) as client, pytest.raises(error):
        call(client)

    assert script.left == []
    assert len(slept) == len(outcomes) - 1


@pytest.mark.parametrize("outcome", [httpx.ConnectError, rejected(429, "1"), rejected(503, "1")])
def test_retries_can_be_turned_off(slept: list[float], outcome: Outcome) -> None:
    transport = httpx.MockTransport(Script(outcome))

    with Client(URL, token="t", retry=Retry(attempts=1), transport=transport) as client, pytest.raises(SlipwayError):
        client.me()

    assert slept == []


def test_async_client_retries_alike(slept: list[float]) -> None:
    script = Script(httpx.ConnectError, rejected(503, "2"), USER)

    async def run() -> str:
        async with AsyncClient(URL, token="t", transport=httpx.MockTransport(script)) as client:
            return (await client.me())["username"]

    assert asyncio.run(run()) == "uma"
    assert 0.25 <= slept[0] <= 0.5
    assert 2 <= slept[1] <= 2.5


def test_retries_of_several_clients_are_spread() -> None:
    error = RateLimitedError("wait", status=429, retry_after_seconds=1)

    assert len({Retry().wait_seconds(1, 0, error) for _ in range(20)}) > 10

"""The client of the commands: its errors in one sentence, and no retries."""

import threading
from collections.abc import Iterator

import pytest

from slipway_cli import api_client as api_client_module
from slipway_cli.api_client import api_client
from slipway_cli.cli import main
from slipway_cli.errors import ApiError
from support.command import run
from support.servers import free_port
from support.stub_api import Answer, Asked, StubApi, problem, stub_api

PREDICTION = {"id": "01939c4e", "model": "iris", "version": "1", "prediction": [0]}


@pytest.fixture
def api() -> Iterator[StubApi]:
    """An API that answers every call with the same prediction."""
    with stub_api(lambda _asked: Answer(PREDICTION)) as stub:
        yield stub


def predict(url: str) -> None:
    with api_client(url, "the-token") as client:
        client.predict([[1.0, 2.0]], "iris")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (problem(422, "'hum' must be a number"), "'hum' must be a number"),
        (Answer({"title": "Not Found"}, 404), "Not Found"),
        (Answer({}, 500), "no reason was given"),
        (
            problem(404, "no model named rose is served; GET /models lists the served models"),
            "no model named rose is served; `slipway models list` lists the registered models",
        ),
        (
            problem(404, "no account is named eve; GET /users lists all accounts"),
            "no account is named eve; `slipway users list` lists all accounts",
        ),
        (problem(401, "the token has expired"), "the token has expired; run `slipway login URL`"),
        (
            problem(401, "the token has expired; get a new one from POST /token"),
            "the token has expired; run `slipway login URL`",
        ),
        (problem(401, "the username or the password is wrong"), "the username or the password is wrong"),
        (Answer(b"<html>hello</html>"), "the server at {url} is not Slipway's API (200): check the address"),
        (Answer(b"<html>not here</html>", 404), "the server at {url} is not Slipway's API (404): check the address"),
        (Answer(["a", "list"]), "the server at {url} is not Slipway's API (200): check the address"),
        (Answer(b"\xff\xfe"), "the server at {url} is not Slipway's API (200): check the address"),
        (
            Answer({**PREDICTION, "prediction": [0, 0]}),
            "the server at {url} is not Slipway's API (200): check the address",
        ),
    ],
)
def test_error_response_becomes_one_sentence(api: StubApi, answer: Answer, sentence: str) -> None:
    api.answer = lambda _asked: answer

    with pytest.raises(ApiError) as caught:
        predict(api.url)

    assert str(caught.value) == sentence.format(url=api.url)
    assert len(api.asked) == 1


def test_unreachable_api_is_reported_with_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(ApiError, match=rf"the API at {url} cannot be reached: check that it is running"):
        predict(url)


def test_api_timeout_is_reported(api: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client_module, "TIMEOUT_SECONDS", 0.1)
    over = threading.Event()

    def hang(_asked: Asked) -> Answer:
        over.wait(10)
        return Answer({})

    api.answer = hang
    try:
        with pytest.raises(ApiError, match="did not respond within"):
            predict(api.url)
    finally:
        over.set()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "localhost:8000", "localhost", "ftp://localhost", "http://localhost:port", ""]
)
def test_invalid_address_is_reported_with_an_example(url: str) -> None:
    with pytest.raises(ApiError, match=r"is not an address; write it as http://127\.0\.0\.1:8000"):
        predict(url)


@pytest.mark.parametrize("token", ["eyJhbGci…", "ey\nJ"])
def test_unsendable_token_is_reported_in_one_sentence(
    api: StubApi, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("SLIPWAY_URL", api.url)
    monkeypatch.setenv("SLIPWAY_TOKEN", token)

    ended = run(main, "predict", "iris", "--features", "1,2")

    assert ended.exit_code == 1
    assert "token" in ended.error.lower()
    assert "cannot be reached" not in ended.error

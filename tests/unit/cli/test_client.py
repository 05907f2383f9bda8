"""The client: its requests, and its errors in one sentence."""

import threading
from collections.abc import Iterator

import pytest

from slipway_cli import client as client_module
from slipway_cli.cli import main
from slipway_cli.client import ApiClient
from slipway_cli.errors import ApiError
from slipway_cli.identity import Identity
from support.command import run
from support.servers import free_port
from support.stub_api import Answer, Asked, StubApi, problem, stub_api

PREDICTION = {"version": "1", "prediction": [0]}


@pytest.fixture
def api() -> Iterator[StubApi]:
    """An API that answers every call with the same prediction."""
    with stub_api(lambda _asked: Answer(PREDICTION)) as stub:
        yield stub


def predict(url: str) -> dict[str, object]:
    with ApiClient(url, "the-token") as client:
        return client.predict("iris", [[1.0, 2.0]])


def test_prediction_sends_the_token_and_the_rows(api: StubApi) -> None:
    with ApiClient.of(Identity(api.url, "the-token")) as client:
        answer = client.predict("iris", [[1.0, 2.0]])

    assert answer == PREDICTION
    (asked,) = api.asked
    assert (asked.method, asked.path) == ("POST", "/models/iris/predict")
    assert asked.headers["Authorization"] == "Bearer the-token"
    assert asked.json == {"features": [[1.0, 2.0]]}


def test_address_may_end_with_a_slash(api: StubApi) -> None:
    predict(api.url + "/")

    assert api.asked[0].path == "/models/iris/predict"


@pytest.mark.parametrize(("name", "path"), [("a/b", "a%2Fb"), ("a?b", "a%3Fb"), ("é", "%C3%A9"), ("a b", "a%20b")])
def test_name_of_a_model_is_quoted_in_the_path(api: StubApi, name: str, path: str) -> None:
    with ApiClient(api.url, "the-token") as client:
        client.predict(name, [[1.0]])

    assert api.asked[0].path == f"/models/{path}/predict"


def test_login_sends_a_form_and_no_token(api: StubApi) -> None:
    api.answer = lambda _asked: Answer({"access_token": "fresh"})

    with ApiClient(api.url) as client:
        token = client.token("ada", "a&b=c")

    assert token == "fresh"
    (asked,) = api.asked
    assert asked.path == "/token"
    assert asked.body == b"username=ada&password=a%26b%3Dc"
    assert "Authorization" not in asked.headers


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
    ],
)
def test_error_response_becomes_one_sentence(api: StubApi, answer: Answer, sentence: str) -> None:
    api.answer = lambda _asked: answer

    with pytest.raises(ApiError) as caught:
        predict(api.url)

    assert str(caught.value) == sentence.format(url=api.url)


def test_unreachable_api_is_reported_with_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(ApiError, match=rf"the API at {url} cannot be reached: check that it is running"):
        predict(url)


def test_api_timeout_is_reported(api: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", 0.1)
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

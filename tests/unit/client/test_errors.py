"""Errors of responses, of addresses and of credentials; none of them shows a secret."""

import asyncio
import inspect
import traceback
from typing import Any

import httpx
import pytest

import slipway_client
import slipway_core
from slipway_client import (
    AsyncClient,
    AuthenticationError,
    Client,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    DeadlineExceededError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    Retry,
    ServiceUnavailableError,
    TimedOutError,
    UnexpectedResponseError,
    ValidationError,
)
from support.servers import free_port
from support.stub_api import Answer, stub_api

URL = "http://slipway"
SECRET = "eyJ-a-secret"
KEY = "slk_a-secret"


def answering(status: int, **content: Any) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _request: httpx.Response(status, **content))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, PayloadTooLargeError),
        (415, RequestError),
        (422, ValidationError),
        (429, RateLimitedError),
        (500, RequestError),
        (503, ServiceUnavailableError),
        (504, DeadlineExceededError),
    ],
)
def test_problem_becomes_an_error(status: int, kind: type[RequestError]) -> None:
    problem = {
        "type": "about:blank",
        "title": "A Title",
        "status": status,
        "detail": "what is wrong",
        "request_id": "r-1",
        "errors": [{"loc": ["features", 3, "age"], "msg": "'age' is odd"}, {"loc": ["body"], "msg": "odd"}],
    }
    transport = answering(status, json=problem, headers={"Retry-After": "9"})

    with (
        Client(URL, token=SECRET, retry=Retry(attempts=1), transport=transport) as client,
        pytest.raises(RequestError) as caught,
    ):
        client.me()

    error = caught.value
    assert type(error) is kind
    assert (error.status, error.title, error.detail, error.request_id) == (status, "A Title", "what is wrong", "r-1")
    assert error.retry_after_seconds == 9
    assert [(e.row, e.column, e.message) for e in error.errors] == [(3, "age", "'age' is odd"), (None, None, "odd")]
    assert str(error) == ("row 3: 'age' is odd" if kind is ValidationError else "what is wrong")


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ({"json": {"title": "Only a title"}}, "Only a title"),
        ({"json": {}}, "no reason was given"),
        ({"json": {"detail": "odd", "errors": "none", "request_id": None}}, "odd"),
        ({"json": {"detail": "odd", "errors": [{"loc": None}, 7]}}, "odd"),
    ],
)
def test_other_error_bodies_are_read(content: dict[str, Any], detail: str) -> None:
    with Client(URL, transport=answering(400, **content)) as client, pytest.raises(RequestError) as caught:
        client.me()

    assert (caught.value.detail, caught.value.retry_after_seconds) == (detail, None)


@pytest.mark.parametrize(("status", "kind"), [(413, PayloadTooLargeError), (504, DeadlineExceededError)])
def test_response_of_a_proxy_is_recognized(status: int, kind: type[RequestError]) -> None:
    with (
        Client(URL, transport=answering(status, content=b"<html>")) as client,
        pytest.raises(kind, match=rf"a proxy before {URL} responded with status {status} \("),
    ):
        client.predict([1.0])


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b"<html>"),
        httpx.Response(404, content=b"<html>"),
        httpx.Response(200, json=["a", "list"]),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(200, json={"hello": "from something else"}),
        httpx.Response(204),
        httpx.Response(307, headers={"Location": "https://elsewhere.example"}),
    ],
    ids=["html", "error in html", "list", "bytes", "another object", "no content", "redirect"],
)
@pytest.mark.parametrize("method", ["check", "me", "models", "model_info", "predictions", "users"])
def test_other_servers_are_recognized(response: httpx.Response, method: str) -> None:
    transport = httpx.MockTransport(lambda _request: response)

    with Client(URL, transport=transport) as client, pytest.raises(UnexpectedResponseError) as caught:
        list(getattr(client, method)())

    assert str(caught.value) == (
        f"the server at {URL} is not Slipway's API ({response.status_code}): check the address"
    )


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "localhost", "ftp://localhost", "http://localhost:port", "http://", ""]
)
def test_invalid_address_is_rejected(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not an address; write it as http://127\.0\.0\.1:8000"):
        Client(url)


def test_address_with_a_password_is_rejected_without_showing_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client(f"https://ada:{SECRET}@slipway")

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "credentials", [{"token": ""}, {"token": "ey…"}, {"api_key": "slk\n"}, {"token": SECRET, "api_key": KEY}]
)
def test_invalid_credential_is_rejected_without_showing_it(credentials: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client(URL, **credentials)  # type: ignore[arg-type]

    assert not any(secret in str(caught.value) for secret in credentials.values() if secret)


def test_unreachable_api_is_reported_with_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with (
        Client(url, retry=Retry(backoff_seconds=0.001)) as client,
        pytest.raises(ConnectionFailedError, match=rf"the API at {url} cannot be reached"),
    ):
        client.check()


def test_timeout_is_reported() -> None:
    def hang(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late", request=request)

    with (
        Client(URL, retry=Retry(attempts=1), timeout_seconds=0.5, transport=httpx.MockTransport(hang)) as client,
        pytest.raises(TimedOutError, match=r"did not respond within 0\.5 s"),
    ):
        client.check()


@pytest.mark.parametrize(
    ("credential", "header", "value"),
    [({"token": SECRET}, "Authorization", f"Bearer {SECRET}"), ({"api_key": KEY}, "X-API-Key", KEY)],
)
def test_credential_is_sent_and_never_shown(credential: dict[str, str], header: str, value: str) -> None:
    with stub_api(lambda _asked: Answer({"detail": "not valid"}, 401)) as stub:
        client = Client(stub.url + "/", **credential)  # type: ignore[arg-type]
        with client, pytest.raises(AuthenticationError) as caught:
            client.me()

    (asked,) = stub.asked
    assert asked.path == "/users/me"
    sent = {name.lower(): text for name, text in asked.headers.items()}
    assert sent[header.lower()] == value
    shown = f"{client!r} {client._session!r} {caught.value!r} {''.join(traceback.format_exception(caught.value))}"
    assert not any(secret in shown for secret in (SECRET, KEY))
    assert f"Client('{stub.url}', {'an API key' if 'api_key' in credential else 'a token'})" in shown


def test_public_endpoints_get_no_credential() -> None:
    welcome = Answer({"service": "slipway", "version": "1"})
    with stub_api(lambda _asked: welcome) as stub, Client(stub.url, token=SECRET) as client:
        assert client.check() == "1"

    assert "Authorization" not in stub.asked[0].headers


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="SLIPWAY_URL is not set"):
        Client.from_env()
    monkeypatch.setenv("SLIPWAY_URL", URL)
    assert repr(Client.from_env()) == f"Client('{URL}', no credential)"
    monkeypatch.setenv("SLIPWAY_API_KEY", KEY)
    assert repr(AsyncClient.from_env(concurrency=2)) == f"AsyncClient('{URL}', an API key)"
    monkeypatch.setenv("SLIPWAY_TOKEN", SECRET)
    with pytest.raises(ConfigurationError, match="either a token or an API key"):
        Client.from_env()
    monkeypatch.delenv("SLIPWAY_API_KEY")
    monkeypatch.delenv("SLIPWAY_TOKEN")
    (tmp_path / "token").write_text(f"{SECRET}\n")
    monkeypatch.setenv("SLIPWAY_TOKEN_FILE", str(tmp_path / "token"))
    assert Client.from_env().token == SECRET
    monkeypatch.setenv("SLIPWAY_TOKEN_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match="SLIPWAY_TOKEN_FILE names a file that cannot be read"):
        Client.from_env()


def test_async_client_has_the_methods_of_the_client() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        members = inspect.getmembers(client, inspect.isfunction)
        return {name: [*inspect.signature(call).parameters] for name, call in members if not name.startswith("_")}

    sync, with_async = methods(Client), methods(AsyncClient)
    sync["aclose"] = sync.pop("close")

    assert sync == with_async


def test_concurrency_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AsyncClient(URL, concurrency=0)


def test_async_errors_are_those_of_the_client() -> None:
    async def run() -> None:
        async with AsyncClient(URL, transport=answering(403, json={"detail": "no"})) as client:
            with pytest.raises(PermissionDeniedError):
                await client.models()
            with pytest.raises(PermissionDeniedError):
                [_ async for _ in client.users()]

    asyncio.run(run())


def test_version_is_that_of_the_project() -> None:
    assert slipway_client.__version__ == slipway_core.__version__

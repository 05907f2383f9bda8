"""HEAD requests to every route: the response matches GET, without a body."""

from collections import defaultdict

import pytest
from starlette.types import Message

from slipway_api.accounts.models import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import LOOPBACK, RunningApi, StartApi

PAGES = ["/openapi.json", "/docs", "/docs/oauth2-redirect", "/static-offline-docs/swagger-ui.css", "/no-such-path"]
# Routes whose responses differ each time.
CHANGING = frozenset({b"x-request-id", b"date"})


def ask(
    api: RunningApi, method: str, path: str, *, token: str | None = None, client: tuple[str, int] = LOOPBACK
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return the status, headers and body as the app sends them, before a server or client can remove the body."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": headers}
    api.portal.call(api.gateway, {**scope, "query_string": b"", "client": client}, receive, send)
    start, *bodies = sent
    assert bodies[-1].get("more_body", False) is False
    kept = {name: value for name, value in start["headers"] if name not in CHANGING}
    return start["status"], kept, b"".join(message.get("body", b"") for message in bodies)


def paths(api: RunningApi, method: str) -> list[str]:
    """Return the paths that OpenAPI lists with a method, for the model iris and an account."""
    values = defaultdict(lambda: "1", name="iris", username="uma")
    listed = [path for path, operations in api.app.openapi()["paths"].items() if method in operations]
    return [path.format_map(values) for path in listed]


def test_head_response_matches_get_without_a_body(api: RunningApi) -> None:
    token = api.token(Role.ADMIN)
    asked = [*paths(api, "get"), *PAGES]

    wrong = []
    for path in asked:
        status, headers, body = ask(api, "GET", path, token=token)
        head_status, head_headers, head_body = ask(api, "HEAD", path, token=token)
        if path == "/metrics":  # it counts its own requests
            headers[b"content-length"] = head_headers[b"content-length"]
        if (head_status, head_headers, head_body) != (status, headers, b"") or not body:
            wrong.append((path, status, head_status, headers, head_headers))

    assert wrong == []
    assert {"/", "/health/live", "/health/ready", "/metrics", "/ping", "/models"} <= {*asked}
    assert {"/v1/models", "/v1/models/iris", "/v2", "/v2/health/ready", "/v2/models/iris"} <= {*asked}


def test_head_is_rejected_where_get_is(api: RunningApi) -> None:
    for path in (path for path in paths(api, "post") if path not in paths(api, "get")):
        status, headers, _ = ask(api, "HEAD", path, token=api.token(Role.ADMIN))

        assert status == 405, path
        assert b"HEAD" not in headers[b"allow"], path
        assert b"POST" in headers[b"allow"], path


@pytest.mark.parametrize("path", ["/health/live", "/models", "/", "/users/me"])
def test_allow_lists_head_with_get(api: RunningApi, path: str) -> None:
    answer = api.request("PUT", path, role=Role.ADMIN)

    assert answer.status_code == 405
    assert {"GET", "HEAD"} <= {*answer.headers["Allow"].split(", ")}


def test_head_requires_the_same_access_as_get(api: RunningApi) -> None:
    assert ask(api, "HEAD", "/models")[0] == 401
    assert ask(api, "HEAD", "/metrics", client=("8.8.8.8", 1))[0] == 403


def test_head_is_counted_under_its_route(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    for path in ("/models/iris", "/models/rose", "/health/live"):
        ask(api, "HEAD", path, token=api.token(Role.USER))

    counted = {(labels["method"], labels["route"]) for labels in api.samples("slipway_http_requests_total")}
    assert {("HEAD", "/models/{name}"), ("HEAD", "/health/live")} <= counted
    assert not {one for one in counted if one[0] == "HEAD" and one[1] == "(no route)"}


def test_openapi_lists_no_head(api: RunningApi) -> None:
    assert paths(api, "head") == []


def test_browser_may_send_head(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, cors_origins=("https://app.example",))
    wish = {"Origin": "https://app.example", "Access-Control-Request-Method": "HEAD"}

    assert api.request("OPTIONS", "/models", headers=wish).status_code == 200

"""Error responses: their status, their common schema, and the details that they hide."""

import re
import time
import uuid
from collections.abc import Callable, Mapping

import httpx
import pytest
from jose import jwt

from slipway_api.accounts.models import Role
from support.api import PASSWORD, SECRET_KEY, RunningApi
from support.refusals import (
    BAD_TOKEN,
    FORM,
    INPUTS,
    JSON,
    ROW,
    TOO_LONG,
    WRONG,
    Apis,
    Ask,
    Case,
    asking,
    logging_in,
    post,
)

KEYS = {"type", "title", "status", "detail", "instance", "request_id", "errors"}
# Internal details that no client may see: paths in the code, and names of libraries.
INTERNALS = (
    *("traceback", "site-packages", "pytest-", "/opt", ".py", ".db", "0x"),
    *("argon2", "fastapi", "httpx", "jose", "onnxruntime", "orjson", "passlib", "pydantic", "python_multipart"),
    *("sqlalchemy", "sqlite", "starlette", "uvicorn"),
)
# Wording of the body parser, which appears in no other error.
FOREIGN_WORDS = ("Input should", "Field required", "Extra inputs", "String should", "Value error", "instance of")


def get(path: str, role: Role | None = None) -> Ask:
    return lambda apis: apis.ready.get(path, role=role)


def with_token(name: str, make: Callable[[RunningApi], str]) -> Case:
    return Case(f"401-{name}", 401, lambda apis: apis.ready.get("/models", token=make(apis.ready)))


def outdated(name: str) -> Case:
    def ask(apis: Apis) -> httpx.Response:
        api = apis.changed
        return api.get("/models", token=apis.old_tokens[name])

    return Case(f"401-{name}", 401, ask)


def forged(
    changes: Mapping[str, object] | None = None, *, key: str = SECRET_KEY, algorithm: str = "HS256"
) -> Callable[[RunningApi], str]:
    """Return a function that creates valid tokens with some claims replaced; None removes a claim."""

    def make(api: RunningApi) -> str:
        claims = {**jwt.get_unverified_claims(api.token(Role.ADMIN)), **(changes or {})}
        token: str = jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm=algorithm)
        return token

    return make


def unsigned(api: RunningApi) -> str:
    _, claims, _ = api.token(Role.ADMIN).split(".")
    return f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}."


# A header of 1,500 nested lists, in base64.
DEEP_HEADER = "W1tb" * 500
NOW = time.time()

TOKENS = [
    with_token("garbage", lambda _: "garbage"),
    with_token("three-parts-of-garbage", lambda _: "a.b.c"),
    with_token("not-ascii", lambda _: "é.é.é"),
    with_token("nested-header", lambda _: f"{DEEP_HEADER}.e30.AAAA"),
    with_token("alg-none", unsigned),
    with_token("other-algorithm", forged(algorithm="HS512")),
    with_token("other-key", forged(key=SECRET_KEY[::-1])),
    with_token("other-issuer", forged({"iss": "somebody"})),
    with_token("other-audience", forged({"aud": "somebody"})),
    with_token("expired", forged({"exp": int(NOW) - 1})),
    with_token("not-yet-valid", forged({"nbf": int(NOW) + 3600})),
    with_token("issued-in-the-future", forged({"iat": int(NOW) + 3600})),
    with_token("unknown-user", forged({"sub": str(uuid.uuid4())})),
    with_token("sub-is-not-an-id", forged({"sub": "ada"})),
    with_token("older-version", forged({"ver": 0})),
    with_token("newer-version", forged({"ver": 2})),
    with_token("version-is-text", forged({"ver": "1"})),
    with_token("version-is-a-boolean", forged({"ver": True})),
    *(
        with_token(f"without-{claim}", forged({claim: None}))
        for claim in ("sub", "exp", "iat", "jti", "iss", "aud", "role", "ver")
    ),
    *(
        outdated(name)
        for name in (
            *("disabled", "deleted", "registered-again"),
            *("password-changed", "password-reset", "role-changed"),
        )
    ),
    # The token is checked before the body and the query.
    asking("add-user", 401, "POST", "/users", None, content=b"{"),
    asking("add-user-in-an-open-service", 401, "POST", "/users", None, on="open", headers=BAD_TOKEN),
    asking("me", 401, "GET", "/users/me", None),
    asking("change-my-password", 401, "PUT", "/users/me/password", None, content=b"{"),
    asking("delete-me", 401, "DELETE", "/users/me?erase=perhaps", None),
    asking("list-users", 401, "GET", "/users?limit=0", None),
    asking("events", 401, "GET", "/users/events?limit=0", None),
    asking("change-user", 401, "PATCH", "/users/uma", None, content=b"{"),
    asking("delete-user", 401, "DELETE", "/users/uma?erase=perhaps", None),
    Case("401-no-token", 401, post("/predict", json={"features": ROW})),
    asking("other-scheme", 401, "GET", "/models", None, headers={"Authorization": "Basic YTpi"}),
    asking("empty-token", 401, "GET", "/models", None, headers={"Authorization": "Bearer "}),
    logging_in("unknown-user", 401, data={"username": "unknown", "password": PASSWORD}),
    logging_in("wrong-password", 401, data={"username": "uma", "password": "wrong horse battery"}),
]

STATUSES = [
    Case("403-viewer-predicts", 403, post("/predict", Role.VIEWER, json={"features": ROW})),
    Case("403-viewer-predicts-by-name", 403, post("/models/iris/predict", Role.VIEWER, json={"features": ROW})),
    Case("403-user-adds-users", 403, post("/users", Role.USER, json={"username": "x", "password": PASSWORD})),
    asking("user-lists-users", 403, "GET", "/users", Role.USER),
    asking("user-reads-events", 403, "GET", "/users/events", Role.USER),
    asking("user-changes-users", 403, "PATCH", "/users/vic", Role.USER, content=b"{"),
    asking("user-deletes-users", 403, "DELETE", "/users/vic", Role.USER),
    asking("wrong-current-password", 403, "PUT", "/users/me/password", Role.VIEWER, json=WRONG),
    asking("own-password-reset", 403, "PATCH", "/users/ada", json={"password": "another horse battery"}),
    asking(
        *("anonymous-registers-an-admin", 403, "POST", "/users", None),
        on="open",
        json={"username": "eve", "password": PASSWORD, "role": "admin"},
    ),
    asking(
        *("user-registers-a-viewer", 403, "POST", "/users", Role.USER),
        on="open",
        json={"username": "eve", "password": PASSWORD, "role": "viewer"},
    ),
    asking("change-unknown-user", 404, "PATCH", "/users/unknown", json={"disabled": True}),
    asking("delete-unknown-user", 404, "DELETE", "/users/unknown"),
    asking("delete-invalid-name", 404, "DELETE", "/users/%00"),
    asking("demote-the-last-admin", 409, "PATCH", "/users/ada", json={"role": "user"}),
    asking("disable-the-last-admin", 409, "PATCH", "/users/ada", json={"disabled": True}),
    asking("delete-the-last-admin", 409, "DELETE", "/users/ada"),
    asking("last-admin-deletes-itself", 409, "DELETE", "/users/me?erase=true"),
    asking("my-password", 413, "PUT", "/users/me/password", Role.USER, chunks=TOO_LONG, headers=JSON),
    asking("change-user", 413, "PATCH", "/users/uma", chunks=TOO_LONG, headers=JSON),
    asking("my-password", 415, "PUT", "/users/me/password", Role.USER, data=WRONG),
    asking("change-user", 415, "PATCH", "/users/uma", content=b"role=user"),
    asking("locked-name", 429, "POST", "/token", None, on="locked", data={"username": "uma", "password": PASSWORD}),
    asking(
        *("locked-address", 429, "POST", "/token", None),
        on="locked",
        client=("192.0.2.2", 2),
        data={"username": "vic", "password": PASSWORD},
    ),
    asking("locked-name-changes-its-password", 429, "PUT", "/users/me/password", Role.USER, on="locked", json=WRONG),
    asking(
        *("many-registrations", 429, "POST", "/users", None),
        on="locked",
        client=("192.0.2.3", 1),
        json={"username": "trudy", "password": PASSWORD},
    ),
    asking("reset", 429, "PATCH", "/users/uma", on="busy", json={"password": "another horse battery"}),
    Case("403-user-reloads", 403, post("/models/iris/reload", Role.USER)),
    asking("public-metrics", 403, "GET", "/metrics", None, client=("8.8.8.8", 1)),
    Case("404-route", 404, get("/nothing/here")),
    Case("404-model", 404, get("/models/rose", Role.VIEWER)),
    Case("404-predict", 404, post("/models/rose/predict", Role.USER, json={"features": ROW})),
    Case("404-reload", 404, post("/models/rose/reload", Role.ADMIN)),
    asking("default-model", 404, "POST", "/predict", Role.USER, on="other", json={"features": ROW}),
    asking("default-info", 404, "GET", "/model-info", Role.USER, on="other"),
    asking("delete", 405, "DELETE", "/predict", None),
    asking("unheard-of", 405, "BREW", "/models", None),
    Case("409-taken", 409, post("/users", Role.ADMIN, json={"username": "uma", "password": PASSWORD})),
    Case("409-taken-in-capitals", 409, post("/users", Role.ADMIN, json={"username": "UMA", "password": PASSWORD})),
    Case("413-declared", 413, post("/predict", Role.USER, content=b" " * 200_001, headers=JSON)),
    Case("413-streamed-predict", 413, post("/predict", Role.USER, chunks=TOO_LONG, headers=JSON)),
    Case("413-streamed-users", 413, post("/users", Role.ADMIN, chunks=TOO_LONG, headers=JSON)),
    Case("413-declared-token", 413, post("/token", content=b"x" * 200_001, headers=FORM)),
    Case(
        "413-streamed-form",
        413,
        post(
            "/token",
            chunks=[b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n', *TOO_LONG],
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        ),
    ),
    Case("413-streamed-token", 413, post("/token", chunks=TOO_LONG, headers=FORM)),
    Case("413-rows", 413, post("/predict", Role.USER, json={"features": [ROW] * 1_001})),
    Case("415-predict", 415, post("/predict", Role.USER, content=b"5.1,3.5", headers={"Content-Type": "text/csv"})),
    Case("415-predict-untold", 415, post("/predict", Role.USER, content=b'{"features": []}')),
    Case("415-predict-form", 415, post("/predict", Role.USER, data={"features": "1"})),
    Case("415-users", 415, post("/users", Role.ADMIN, content=b"a", headers={"Content-Type": "text/plain"})),
    Case("422-half-a-character", 422, post("/predict", Role.USER, content=b'{"\\ud800": 1}', headers=JSON)),
    Case("422-half-a-name", 422, post("/predict", Role.USER, content=b'{"features": {"\\ud800": 1}}', headers=JSON)),
    Case(
        "422-half-a-character-in-a-password",
        422,
        post("/users", Role.ADMIN, content=b'{"username": "x", "password": "secret \\ud800"}', headers=JSON),
    ),
    logging_in("json", 415, json={"username": "uma", "password": PASSWORD}),
    asking("logins", 429, "POST", "/token", None, on="busy", data={"username": "uma", "password": PASSWORD}),
    asking("users", 429, "POST", "/users", Role.ADMIN, on="busy", json={"username": "newcomer", "password": PASSWORD}),
    asking("unexpected", 500, "GET", "/unexpected", None, on="broken"),
    asking("unmapped", 500, "GET", "/unmapped", None, on="broken"),
    asking("predict", 503, "POST", "/predict", Role.USER, on="empty", json={"features": ROW}),
    asking("model-info", 503, "GET", "/model-info", Role.USER, on="empty"),
    asking("model", 503, "GET", "/models/iris", Role.USER, on="empty"),
    asking("accounts-unread", 503, "GET", "/models", Role.USER, on="unread"),
    asking("token-unread", 503, "POST", "/token", None, on="unread", data={"username": "uma", "password": PASSWORD}),
    *(
        asking(f"database-away-{name}", 503, method, path, on="away", **request)
        for name, method, path, request in (
            ("me", "GET", "/users/me", {}),
            ("password", "PUT", "/users/me/password", {"json": WRONG}),
            ("delete-me", "DELETE", "/users/me", {}),
            ("add", "POST", "/users", {"json": {"username": "eve", "password": PASSWORD}}),
            ("list", "GET", "/users", {}),
            ("events", "GET", "/users/events", {}),
            ("change", "PATCH", "/users/uma", {"json": {"disabled": True}}),
            ("delete", "DELETE", "/users/uma", {}),
        )
    ),
    asking("accounts-stale", 503, "GET", "/models", Role.USER, on="stale"),
]

CASES = [*TOKENS, *STATUSES, *INPUTS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_error_is_problem_details_without_internals(case: Case, apis: Apis) -> None:
    answer = case.ask(apis)

    assert answer.status_code == case.status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == KEYS
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["status"] == case.status
    assert len(problem["detail"]) > 10
    assert problem["instance"] == answer.request.url.path
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert all(error.keys() == {"loc", "msg"} and error["msg"] for error in problem["errors"])
    assert [word for word in INTERNALS if word in answer.text.lower()] == []
    assert [words for words in FOREIGN_WORDS if words in problem["detail"]] == []


@pytest.mark.parametrize("case", TOKENS, ids=lambda case: case.name)
def test_unauthenticated_response_requests_a_bearer_token(case: Case, apis: Apis) -> None:
    assert case.ask(apis).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("case", [case for case in CASES if case.status in {429, 503}], ids=lambda case: case.name)
def test_429_or_503_states_when_to_retry(case: Case, apis: Apis) -> None:
    assert 1 <= int(case.ask(apis).headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.status not in {405, 500} and case.name != "404-route"],
    ids=lambda case: case.name,
)
def test_error_is_documented(case: Case, apis: Apis) -> None:
    answer = case.ask(apis)

    routes = apis.ready.get("/openapi.json").json()["paths"]
    path = answer.request.url.path
    templates = [route for route in routes if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path)]
    [template] = [path] if path in templates else templates
    assert str(case.status) in routes[template][answer.request.method.lower()]["responses"]


@pytest.mark.parametrize("path", ["/users/", "/models/", "/v2/", "/predict/", "/health/live/"])
def test_extra_slash_returns_404(api: RunningApi, path: str) -> None:
    answer = api.get(path, role=Role.ADMIN, headers={"Host": "elsewhere.example"})

    assert answer.status_code == 404
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/users", "GET, HEAD, POST"),
        ("/users/me", "DELETE, GET, HEAD, PATCH"),
        ("/users/alice", "DELETE, PATCH"),
        ("/predict", "POST"),
    ],
)
def test_allow_header_lists_every_method_of_the_path(api: RunningApi, path: str, allowed: str) -> None:
    answer = api.request("TRACE", path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


def test_error_does_not_repeat_a_long_path(api: RunningApi) -> None:
    answer = api.get("/" + "x" * 60_000)

    assert answer.status_code == 404
    assert len(answer.content) < 1_000

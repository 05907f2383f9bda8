"""Error responses: their status, their common schema, and the details that they hide."""

import re

import pytest

from slipway_api.accounts.models import Role
from support.api import RunningApi
from support.refusals import CASES, TOKENS, Apis, Case

KEYS = {"type", "title", "status", "detail", "instance", "request_id", "errors"}
# Internal details that no client may see: paths in the code, and names of libraries.
INTERNALS = (
    *("traceback", "site-packages", "pytest-", "/opt", ".py", ".db", "0x"),
    *("argon2", "fastapi", "httpx", "jose", "onnxruntime", "orjson", "passlib", "pydantic", "python_multipart"),
    *("sqlalchemy", "sqlite", "starlette", "uvicorn"),
)
# Wording of the body parser, which appears in no other error.
FOREIGN_WORDS = ("Input should", "Field required", "Extra inputs", "String should", "Value error", "instance of")


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
def test_rate_limited_response_states_when_to_retry(case: Case, apis: Apis) -> None:
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

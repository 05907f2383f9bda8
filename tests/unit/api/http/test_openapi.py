"""The OpenAPI document: complete, valid, and consistent with the responses."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

from slipway_api.accounts.models import Role
from slipway_api.http import openapi
from support.api import PASSWORD, RunningApi

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
OPEN_INFERENCE = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}
ROUTES = {
    *(("get", path) for path in ("/", "/users", "/users/events", "/users/me", "/predictions", "/predictions/{id}")),
    *(("get", path) for path in ("/model-info", "/models", "/models/{name}", "/models/{name}/versions/{version}")),
    *(("get", path) for path in ("/health/live", "/health/ready", "/metrics", "/ping")),
    *(
        ("get", f"/v2{path}")
        for path in ("", "/health/live", "/health/ready", "/models/{name}", "/models/{name}/ready")
    ),
    *(("get", path) for path in ("/v1/models", "/v1/models/{name}")),
    ("post", "/v1/models/{name}:predict"),
    *(("get", f"/v2/models/{{name}}/versions/{{version}}{path}") for path in ("", "/ready")),
    *(("post", path) for path in ("/token", "/users", "/predict", "/predictions/{id}/feedback", "/invocations")),
    *(("post", f"/models/{{name}}{path}") for path in ("/predict", "/reload", "/versions/{version}/predict")),
    *(("post", f"/v2/models/{{name}}{path}") for path in ("/infer", "/versions/{version}/infer")),
    *(("put", "/users/me/password"), ("patch", "/users/{name}")),
    *(("delete", path) for path in ("/users/me", "/users/{name}")),
}
PUBLIC = {
    ("post", "/token"),
    *(("get", path) for path in ("/", "/health/live", "/health/ready", "/metrics")),
    *(("get", path) for path in ("/v2", "/v2/health/live", "/v2/health/ready")),
}
# These return 503 with the schema of their 200.
READINESS = {
    ("get", "/health/ready"),
    ("get", "/v2/health/ready"),
    ("get", "/v2/models/{name}/ready"),
    ("get", "/v2/models/{name}/versions/{version}/ready"),
}


@pytest.fixture(scope="module")
def document(api: RunningApi) -> dict[str, Any]:
    document: dict[str, Any] = api.get("/openapi.json").json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield (method, path), operation


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and content of each request and response."""
    for (method, path), operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{method} {path} {kind}", content
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                yield f"{method} {path} {status} {kind}", content


def check(instance: object, schema: dict[str, Any], document: dict[str, Any]) -> None:
    """Validate a value against a schema whose references point into the document."""
    Draft202012Validator({**schema, "components": document["components"]}).validate(instance)


def check_response(answer: httpx.Response, document: dict[str, Any]) -> None:
    """Validate a response against the schema of its route, status and content type."""
    path, method = answer.request.url.path, answer.request.method.lower()
    templates = [one for one in document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one), path)]
    operation = document["paths"][path if path in templates else templates[0]][method]
    content = operation["responses"][str(answer.status_code)]["content"]
    check(answer.json(), content[answer.headers["Content-Type"]]["schema"], document)


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_openapi_lists_every_route(document: dict[str, Any]) -> None:
    assert {route for route, _ in operations(document)} >= ROUTES


def test_every_route_has_a_description(document: dict[str, Any]) -> None:
    assert [route for route, operation in operations(document) if not operation.get("description")] == []


def test_all_routes_except_public_ones_require_a_token(document: dict[str, Any]) -> None:
    public = {route for route, operation in operations(document) if not operation.get("security")}

    assert public == PUBLIC


def test_every_error_is_documented_as_problem_details(document: dict[str, Any]) -> None:
    for route, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400 or (route in READINESS and status == "503"):
                continue
            is_kserve = route[1].startswith(("/v1", "/v2"))
            kind, name = (JSON, "KServeError") if is_kserve else (PROBLEM_JSON, "ProblemDetails")
            assert list(response["content"]) == [kind], (route, status)
            assert response["content"][kind]["schema"] == {"$ref": f"#/components/schemas/{name}"}


def test_openapi_documents_timeouts_and_overload(document: dict[str, Any]) -> None:
    answered = {route: set(operation["responses"]) for route, operation in operations(document)}

    assert [route for route, statuses in answered.items() if "504" not in statuses] == []
    assert {path for (_, path), statuses in answered.items() if "503" not in statuses} == {
        "/health/live",
        "/metrics",
        "/v2/health/live",
    }


def test_openapi_omits_validation_errors_of_fastapi(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    assert set(references(document)) - schemas == set()


def test_every_schema_is_valid(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_example_matches_its_schema(document: dict[str, Any]) -> None:
    checked = set()
    for name, content in bodies(document):
        examples = [example["value"] for example in content.get("examples", {}).values()]
        for example in [*examples, *([content["example"]] if "example" in content else [])]:
            check(example, content["schema"], document)
            checked.add(name)
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            check(example, schema, document)
            checked.add(name)

    assert {"post /predict application/json", "post /predict 200 application/json", "NewUser"} <= checked
    assert f"post /predict 422 {PROBLEM_JSON}" in checked


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"features": "5.1"},
        {"features": None},
        {"features": [[5.1, [3.5]]]},
        {"features": {"a": {}}},
        {"features": [5.1], "other": 1},
    ],
    ids=str,
)
def test_request_schema_rejects_invalid_rows(document: dict[str, Any], body: object) -> None:
    schema = document["paths"]["/predict"]["post"]["requestBody"]["content"][JSON]["schema"]

    with pytest.raises(ValidationError):
        check(body, schema, document)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/predict", "/predict"),
        ("/v1/models/{name}:predict", "/v1/models/iris:predict"),
        ("/v2/models/{name}/infer", "/v2/models/iris/infer"),
        ("/invocations", "/invocations"),
    ],
)
def test_request_example_is_accepted(api: RunningApi, document: dict[str, Any], template: str, path: str) -> None:
    examples = document["paths"][template]["post"]["requestBody"]["content"][JSON]["examples"]

    for example in examples.values():
        assert api.post(path, role=Role.USER, json=example["value"]).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("get", "/", {}),
        ("post", "/token", {"data": {"username": "uma", "password": PASSWORD}}),
        ("post", "/predict", {"json": {"features": [5.1, 3.5, 1.4, 0.2]}}),
        ("post", "/models/demand/predict", {"json": {"features": [[1, 2, 3, 4], [0.5, 0, 0, 0]]}}),
        ("post", "/predict", {"json": {"features": [1]}}),
        ("get", "/model-info", {}),
        ("get", "/models", {}),
        ("get", "/models/iris", {}),
        ("get", "/models/rose", {}),
        ("get", "/models/iris/versions/7", {}),
        ("post", "/models/iris/versions/7/predict", {}),
        ("post", "/models/iris/reload", {}),
        ("post", "/users", {"json": {"username": "uma", "password": PASSWORD}}),
        ("get", "/users", {}),
        ("get", "/users?limit=0", {}),
        ("get", "/users/events", {}),
        ("get", "/users/me", {}),
        ("patch", "/users/uma", {"json": {"role": "user"}}),
        ("delete", "/users/unknown", {}),
        ("get", "/v1/models", {}),
        ("get", "/v1/models/iris", {}),
        ("get", "/v1/models/rose", {}),
        ("post", "/v1/models/iris:predict", {"json": {"instances": [[1, 2, 3, 4]]}}),
        ("post", "/v1/models/iris:predict", {"json": {}}),
        ("get", "/v2", {}),
        ("get", "/v2/health/live", {}),
        ("get", "/v2/health/ready", {}),
        ("get", "/v2/models/iris", {}),
        ("get", "/v2/models/rose", {}),
        ("get", "/v2/models/iris/ready", {}),
        ("get", "/v2/models/iris/versions/1", {}),
        ("post", "/v2/models/iris/infer", {"json": OPEN_INFERENCE}),
        ("post", "/v2/models/iris/infer", {"json": {}}),
        ("get", "/ping", {}),
        ("post", "/invocations", {"json": {"instances": [[5.1, 3.5, 1.4, 0.2]]}}),
        ("post", "/invocations", {"json": {}}),
        ("get", "/health/live", {}),
        ("get", "/health/ready", {}),
    ],
)
def test_response_matches_its_schema(
    api: RunningApi, document: dict[str, Any], method: str, path: str, request_: dict[str, Any]
) -> None:
    check_response(api.request(method.upper(), path, role=Role.ADMIN, **request_), document)


def test_prediction_responses_match_their_schemas(api: RunningApi, document: dict[str, Any]) -> None:
    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
    made = [
        api.post(f"/models/{name}/predict", role=Role.ADMIN, json={"features": rows}).json()["id"]
        for name in ("iris", "demand")
    ]
    api.ship()
    truths: list[dict[str, Any]] = [{"row": 0, "label": "setosa"}, {"row": 0, "value": 12.5}]
    for prediction_id, truth in zip(made, truths, strict=True):
        path = f"/predictions/{prediction_id}"
        for _ in range(2):
            check_response(api.post(f"{path}/feedback", role=Role.ADMIN, json=truth), document)
        for called in (path, "/predictions", "/predictions?limit=0"):
            check_response(api.get(called, role=Role.ADMIN), document)


def test_document_is_built_once(api: RunningApi) -> None:
    assert api.app.openapi() is api.app.openapi()


def test_documentation_page_needs_no_network(api: RunningApi) -> None:
    page = api.get("/docs")

    assert page.status_code == 200
    assert "/openapi.json" in page.text
    parts = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert parts
    for part in parts:
        assert api.get(part).status_code == 200


def test_document_is_encoded_once(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    first = api.get("/openapi.json")
    monkeypatch.setattr(api.app, "openapi", lambda: pytest.fail("the document is encoded again"))

    assert first.json()["info"]["title"] == "Slipway"
    assert api.get("/openapi.json").content == first.content


def test_requests_are_answered_while_document_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    is_answered = threading.Event()
    app = FastAPI()
    app.add_api_route("/other", lambda: "answered")
    openapi.install(app, described=(), bodies=(), unlimited=())
    monkeypatch.setattr(app, "openapi", lambda: {"waited": is_answered.wait(timeout=10)})

    async def ask() -> list[Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            documents = [asyncio.create_task(client.get("/openapi.json")) for _ in range(2)]
            assert (await client.get("/other")).json() == "answered"
            is_answered.set()
            return [(await document).json() for document in documents]

    assert asyncio.run(ask()) == [{"waited": True}] * 2

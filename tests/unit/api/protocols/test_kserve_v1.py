"""`/v1/models`: responses and errors of KServe's V1 protocol."""

import uuid
from typing import Any

import httpx
import pytest

from slipway_api.accounts.models import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.bundles import FEATURES, bundle_files, register, regression_files

PREDICT = "/v1/models/iris:predict"
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [6.0, 2.7, 4.2, 1.3]]
LABELS = ["setosa", "virginica", "versicolor"]
NAMED = [dict(zip(FEATURES, row, strict=True)) for row in ROWS]


def predict(api: RunningApi, body: object, path: str = PREDICT, role: Role | None = Role.USER) -> httpx.Response:
    return api.post(path, role=role, json=body)


def error(answer: httpx.Response, status: int = 422) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    message: str = answer.json()["error"]
    return message


@pytest.mark.parametrize("body", [{"instances": ROWS}, {"instances": NAMED}, {"inputs": ROWS}])
def test_predictions_match_predict(api: RunningApi, body: dict[str, Any]) -> None:
    native = api.post("/predict", role=Role.USER, json={"features": ROWS}).json()

    answer = predict(api, body)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": native["label"]}
    assert uuid.UUID(answer.headers["X-Prediction-ID"]).version == 7


def test_regressor_returns_its_values(api: RunningApi) -> None:
    rows = [[1, 2, 3, 4], [0.5, 0, 0, 0]]
    native = api.post("/models/demand/predict", role=Role.USER, json={"features": rows}).json()

    answer = predict(api, {"instances": rows}, "/v1/models/demand:predict")

    assert answer.json() == {"predictions": native["prediction"]}


@pytest.mark.parametrize("name", ["iris.v2", "iris-large", "a_b", "iris predict", "iris%", "blüte", "iris.predict"])
def test_name_may_have_any_character_of_a_model(start_api: StartApi, name: str) -> None:
    registry = InMemoryRegistry()
    register(registry, bundle_files(name), name, promote=True)
    api = start_api(registry, default_model=name)
    quoted = httpx.URL("http://x").copy_with(path=f"/v1/models/{name}").raw_path.decode()

    assert predict(api, {"instances": ROWS}, f"{quoted}:predict").json() == {"predictions": LABELS}
    assert predict(api, {"instances": ROWS}, f"{quoted}%3Apredict").json() == {"predictions": LABELS}
    assert api.get(quoted, role=Role.VIEWER).json() == {"name": name, "ready": True}


def test_values_outside_the_range_are_counted_in_a_header(api: RunningApi) -> None:
    assert predict(api, {"instances": [[500, 3.5, 1.4, 0.2]]}).headers["X-Prediction-Warnings"] == "1"


def test_prediction_is_logged_and_measured(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    found = predict(api, {"instances": ROWS}).headers["X-Prediction-ID"]
    api.ship()

    assert api.get(f"/predictions/{found}", role=Role.USER).json()["inputs"] == [
        [pytest.approx(value, rel=1e-6) for value in row] for row in ROWS
    ]
    labels = {"method": "POST", "route": "/v1/models/{name}:predict", "status": "200"}
    assert api.sample("slipway_http_requests_total", **labels) == 1


# Models


def test_models_are_listed_by_name(api: RunningApi) -> None:
    assert api.get("/v1/models", role=Role.VIEWER).json() == {"models": ["demand", "iris"]}


def test_loaded_model_is_ready(api: RunningApi) -> None:
    assert api.get("/v1/models/iris", role=Role.VIEWER).json() == {"name": "iris", "ready": True}


def test_required_model_is_not_ready_before_it_is_loaded(start_api: StartApi) -> None:
    api = start_api(InMemoryRegistry(), ready=False)
    answer = api.get("/v1/models/iris", role=Role.VIEWER)

    assert "iris" in error(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1
    assert error(predict(api, {"instances": ROWS}), 503) == error(answer, 503)
    assert api.get("/v1/models", role=Role.VIEWER).json() == {"models": []}


def test_pinned_version_is_not_the_model(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    register(registry, regression_files(), "demand", promote=True)
    api = start_api(registry, models=("demand@1",))

    assert api.get("/v1/models", role=Role.VIEWER).json() == {"models": []}
    assert "demand" in error(api.get("/v1/models/demand", role=Role.VIEWER), 404)


# Errors


def test_errors_have_the_wording_of_other_protocols(api: RunningApi) -> None:
    native = api.post("/models/rose/predict", role=Role.USER, json={"features": ROWS})

    assert error(predict(api, {"instances": ROWS}, "/v1/models/rose:predict"), 404) == native.json()["detail"]
    assert error(api.get("/v1/models/rose", role=Role.USER), 404) == native.json()["detail"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "send exactly one of `instances`"),
        ([], "the body must be an object"),
        ({"instances": []}, "`instances` must be a list of at least one entry"),
        ({"instances": ROWS[0]}, "the rows must each be a list or an object"),
        ({"instances": [[1, 2, 3]]}, "got 3"),
        ({"instances": [[1, 2, 3, "x"]]}, "not a string"),
        ({"instances": ROWS, "signature_name": "serving_default"}, "unknown field 'signature_name'"),
    ],
)
def test_invalid_input_is_rejected(api: RunningApi, body: object, message: str) -> None:
    assert message in error(predict(api, body))


def test_other_errors_have_the_same_format(api: RunningApi) -> None:
    body = {"instances": ROWS}

    assert error(predict(api, body, role=None), 401)
    assert predict(api, body, role=None).headers["WWW-Authenticate"] == "Bearer"
    assert error(predict(api, body, role=Role.VIEWER), 403)
    assert error(api.get("/v1/models"), 401)
    assert error(api.get("/v1/models/iris"), 401)
    assert error(api.get("/v1/elsewhere"), 404)
    assert error(predict(api, {"instances": ROWS * 400}), 413)
    assert error(api.post(PREDICT, role=Role.USER, content=b" " * 200_001), 413)
    assert error(api.post(PREDICT, role=Role.USER, data={"instances": "1"}), 415)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_predictions_are_only_posted(api: RunningApi, method: str) -> None:
    answer = api.request(method, PREDICT, role=Role.USER)

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")

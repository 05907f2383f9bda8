"""`/model-info`, `/models`, `/models/{name}` and reload: the served version, and why it is not Production's."""

from datetime import UTC, datetime

import pytest

from slipway_api.accounts.models import Role
from slipway_core.bundle import digest
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.bundles import CLASSES, FEATURES, bundle_files, register, regression_files

LONG = 3_600


def parse(time: str) -> datetime:
    assert time.endswith("Z")
    return datetime.fromisoformat(time)


def test_model_info_describes_the_default_model(api: RunningApi) -> None:
    answer = api.get("/model-info", role=Role.VIEWER)

    assert answer.status_code == 200
    info = answer.json()
    loaded_at = parse(info.pop("loaded_at"))
    inputs = info["signature"].pop("inputs")
    assert [column["name"] for column in inputs] == list(FEATURES)
    assert {(column["dtype"], column["min"], column["max"], column["unit"]) for column in inputs} == {
        ("float32", 0.0, 8.0, "cm")
    }
    assert info == {
        "model_name": "iris",
        "model_version": "1",
        "current_stage": "Production",
        "pinned": False,
        "verified": True,
        "description": "",
        "task": "classification",
        "signature": {
            "classes": list(CLASSES),
            "graph": {"label": "label", "scores": "probabilities"},
            "tensors": [{"name": "X", "dtype": "float32", "shape": [4], "column": None, "part": None}],
            "decision": None,
        },
        "metrics": {"accuracy": 0.97},
        "run_id": "0" * 32,
        "data_version": digest(b"data"),
        "git_commit": None,
        "created_at": "2026-11-20T12:00:00Z",
        "healthy": True,
        "staging": None,
        "stuck_runs": 0,
        "source": "registry",
    }
    assert loaded_at <= datetime.now(UTC)


def test_models_lists_each_model_by_name(api: RunningApi) -> None:
    models = api.get("/models", role=Role.VIEWER).json()["models"]

    assert [(model["model_name"], model["task"]) for model in models] == [
        ("demand", "regression"),
        ("iris", "classification"),
    ]
    assert {**models[1], "staging": None} == api.get("/model-info", role=Role.VIEWER).json()


def test_production_model_is_up_to_date(api: RunningApi) -> None:
    status = api.get("/models/iris", role=Role.VIEWER).json()

    assert status["model_version"] == status["production_version"] == "1"
    assert status["up_to_date"] is True
    assert status["failed_load"] is None
    assert status["registry"].pop("since")
    assert status["registry"] == {"reachable": True, "reason": None}


def test_reload_serves_the_new_version_at_once(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registry_poll_seconds=LONG)
    register(registry, bundle_files(), promote=True)

    answer = api.post("/models/iris/reload", role=Role.ADMIN)

    assert answer.status_code == 200
    result = answer.json()
    assert (result["changed"], result["previous_version"], result["model"]["model_version"]) == (True, "1", "2")
    assert api.post("/predict", role=Role.USER, json={"features": [5.1, 3.5, 1.4, 0.2]}).json()["version"] == "2"


def test_reload_reports_if_nothing_changed(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registry_poll_seconds=LONG)

    result = api.post("/models/iris/reload", role=Role.ADMIN).json()

    assert (result["changed"], result["previous_version"], result["model"]["up_to_date"]) == (False, "1", True)


def test_reload_loads_a_new_model(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    api = start_api(registry, ready=False, registry_poll_seconds=LONG, models=("rose",))
    register(registry, bundle_files("rose"), "rose", promote=True)

    result = api.post("/models/rose/reload", role=Role.ADMIN).json()

    assert (result["changed"], result["previous_version"]) == (True, None)


def test_failed_version_is_reported_beside_the_served_one(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registry_poll_seconds=LONG)
    version = register(registry, bundle_files(), promote=True)
    registry.replace_file("iris", version, MODEL_FILE, b"damaged")

    result = api.post("/models/iris/reload", role=Role.ADMIN).json()

    assert result["changed"] is False
    status = api.get("/models/iris", role=Role.VIEWER).json()
    assert (status["model_version"], status["production_version"], status["up_to_date"]) == ("1", "2", False)
    failed = status["failed_load"]
    assert (failed["version"], failed["attempts"]) == ("2", 1)
    assert failed["reason"].startswith("model.onnx has the digest sha256:")
    assert parse(failed["at"]) <= datetime.now(UTC)


def test_outage_is_reported_and_model_is_not_up_to_date(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registry_poll_seconds=LONG)
    registry.reachable = False

    status = api.post("/models/iris/reload", role=Role.ADMIN).json()["model"]

    assert (status["model_version"], status["up_to_date"]) == ("1", False)
    assert (status["registry"]["reachable"], status["registry"]["reason"]) == (
        False,
        "the model registry cannot be reached",
    )


def test_model_without_its_alias_is_served_but_not_up_to_date(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registry_poll_seconds=LONG)
    registry.delete_alias("iris", PRODUCTION)

    status = api.post("/models/iris/reload", role=Role.ADMIN).json()["model"]

    assert (status["model_version"], status["production_version"], status["up_to_date"]) == ("1", None, False)


@pytest.fixture
def pinned_api(start_api: StartApi, registry: InMemoryRegistry) -> RunningApi:
    """Run an app whose iris follows Production, at version 2, with version 1 pinned."""
    register(registry, bundle_files(), promote=True)
    return start_api(registry, models=("iris", "iris@1"), registry_poll_seconds=LONG)


def test_pinned_version_is_described_without_a_stage(pinned_api: RunningApi) -> None:
    answer = pinned_api.get("/models/iris/versions/1", role=Role.VIEWER)

    assert answer.status_code == 200
    info = answer.json()
    assert (info["model_name"], info["model_version"], info["current_stage"]) == ("iris", "1", "None")
    assert info["pinned"] is True


def test_pinned_production_version_is_marked(pinned_api: RunningApi, registry: InMemoryRegistry) -> None:
    registry.set_alias("iris", PRODUCTION, "1")
    pinned_api.post("/models/iris/reload", role=Role.ADMIN)

    info = pinned_api.get("/models/iris/versions/1", role=Role.VIEWER).json()

    assert (info["current_stage"], info["pinned"]) == ("Production", True)


def test_models_lists_pinned_versions_after_production(pinned_api: RunningApi) -> None:
    models = pinned_api.get("/models", role=Role.VIEWER).json()["models"]

    told = [(one["model_name"], one["model_version"], one["pinned"], one["current_stage"]) for one in models]
    assert told == [("iris", "2", False, "Production"), ("iris", "1", True, "None")]


def test_pinned_and_production_versions_predict_at_own_paths(pinned_api: RunningApi) -> None:
    body = {"features": [5.1, 3.5, 1.4, 0.2]}

    paths = ("/models/iris/versions/1/predict", "/models/iris/predict", "/predict")
    answers = [pinned_api.post(path, role=Role.USER, json=body).json() for path in paths]

    assert [(answer["model"], answer["version"]) for answer in answers] == [("iris", "1"), ("iris", "2"), ("iris", "2")]


@pytest.mark.parametrize("version", ["2", "3", "01", "latest"])
def test_unlisted_version_returns_404_even_if_production(pinned_api: RunningApi, version: str) -> None:
    shown = pinned_api.get(f"/models/iris/versions/{version}", role=Role.VIEWER)
    asked = pinned_api.post(
        f"/models/iris/versions/{version}/predict", role=Role.USER, json={"features": [5.1, 3.5, 1.4, 0.2]}
    )

    assert (shown.status_code, asked.status_code) == (404, 404)


def test_pinned_version_requires_the_same_permissions(pinned_api: RunningApi) -> None:
    path, body = "/models/iris/versions/1/predict", {"features": [5.1, 3.5, 1.4, 0.2]}

    assert pinned_api.post(path, json=body).status_code == 401
    assert pinned_api.post(path, role=Role.VIEWER, json=body).status_code == 403
    assert pinned_api.get("/models/iris/versions/1").status_code == 401


def test_readiness_lists_served_and_missing_pinned_versions(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, models=("iris", "iris@1", "iris@7"), ready=False, registry_poll_seconds=LONG)
    api.post("/models/iris/reload", role=Role.ADMIN)

    answer = api.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["models"] == {"iris": "1", "iris@1": "1"}
    assert list(answer.json()["missing"]) == ["iris@7"]
    assert api.get("/models/iris/versions/7", role=Role.VIEWER).status_code == 503


def test_reload_retries_pinned_versions(start_api: StartApi, registry: InMemoryRegistry) -> None:
    mended = bundle_files()[MODEL_FILE]
    registry.replace_file("iris", "1", MODEL_FILE, b"damaged")
    api = start_api(registry, models=("iris@1",), ready=False, registry_poll_seconds=LONG)
    refused = api.post("/models/iris/reload", role=Role.ADMIN)
    assert refused.status_code == 503
    assert refused.json()["detail"].startswith("version 1 of iris cannot be loaded: model.onnx has the digest")
    registry.replace_file("iris", "1", MODEL_FILE, mended)

    result = api.post("/models/iris/reload", role=Role.ADMIN).json()

    assert (result["changed"], result["previous_version"], result["model"]) == (True, None, None)
    assert [(one["model_version"], one["pinned"]) for one in result["pinned"]] == [("1", True)]


@pytest.mark.parametrize("name", ["a b", "zoë", "a.b", "..."])
def test_model_with_an_unusual_name_is_reachable(start_api: StartApi, name: str) -> None:
    registry = InMemoryRegistry()
    register(registry, bundle_files(name), name, promote=True)
    api = start_api(registry, default_model=name)

    assert api.get(f"/models/{name}", role=Role.VIEWER).json()["model_name"] == name


def test_unset_default_model_error_names_the_variable(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    register(registry, regression_files(), "demand", promote=True)
    api = start_api(registry, models=("demand@1",))

    answer = api.post("/predict", role=Role.USER, json={"features": [1, 2, 3, 4]})

    assert answer.status_code == 404
    assert "set SLIPWAY_DEFAULT_MODEL to the model for /predict" in answer.json()["detail"]


def test_only_configured_model_answers_predict(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    register(registry, regression_files(), "demand", promote=True)
    api = start_api(registry, models=("demand",))

    answer = api.post("/predict", role=Role.USER, json={"features": [1, 2, 3, 4]})

    assert answer.json()["model"] == "demand"

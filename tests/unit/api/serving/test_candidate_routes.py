"""The routes of Staging and of candidates: described, listed, predicted with, logged, and refused."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from slipway_api.accounts.models import Role
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import STAGING
from slipway_core.registry.base import candidate_alias
from slipway_core.registry.memory import InMemoryRegistry
from support.api import Database, RunningApi, StartApi, running_api
from support.bundles import bundle_files, register

LONG = 3_600
ROW = {"features": [5.1, 3.5, 1.4, 0.2]}


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[RunningApi]:
    """Run an app whose iris has Production 1, Staging 2, the candidates linear 3 and forest 1, and a damaged one."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    for _ in range(3):
        register(registry, bundle_files())
    registry.replace_file("iris", "4", MODEL_FILE, b"damaged")
    aliases = {STAGING: "2", **{candidate_alias(k): v for k, v in (("linear", "3"), ("forest", "1"), ("worst", "4"))}}
    for alias, version in aliases.items():
        registry.set_alias("iris", alias, version)
    register(registry, bundle_files("rose"), "rose", promote=True)
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("beside")
        api = stack.enter_context(running_api(folder, registry, database, registry_poll_seconds=LONG, max_candidates=2))
        api.post("/models/iris/reload", role=Role.ADMIN)  # waits for the loads beside Production
        yield api


def test_candidates_are_listed_with_the_reasons_of_those_not_loaded(beside: RunningApi) -> None:
    listed = beside.get("/models/iris/candidates", role=Role.VIEWER).json()["candidates"]

    forest, linear, worst = listed
    assert forest.pop("reason") == (
        "the candidate forest of iris is not loaded: the API serves the 2 newest candidates of a model; set "
        "SLIPWAY_MAX_CANDIDATES to serve more"
    )
    assert forest == {"name": "forest", "version": "1", "loaded": False, "served_version": None, "metrics": None}
    assert linear == {
        "name": "linear",
        "version": "3",
        "loaded": True,
        "served_version": "3",
        "metrics": {"accuracy": 0.97},
        "reason": None,
    }
    assert worst["reason"].startswith("version 4 of iris cannot be loaded: model.onnx has the digest")
    assert beside.get("/models/rose/candidates", role=Role.VIEWER).json() == {"candidates": []}


def test_staging_is_shown_beside_production(beside: RunningApi) -> None:
    expected = {
        "version": "2",
        "loaded": True,
        "served_version": "2",
        "metrics": {"accuracy": 0.97},
        "reason": None,
    }
    for path in ("/model-info", "/models/iris"):
        info = beside.get(path, role=Role.VIEWER).json()
        assert (info["model_version"], info["current_stage"], info["staging"]) == ("1", "Production", expected)
    assert beside.get("/models/rose", role=Role.VIEWER).json()["staging"] is None


@pytest.mark.parametrize(
    ("path", "version", "stage"),
    [("/models/iris/staging", "2", "Staging"), ("/models/iris/candidates/linear", "3", "None")],
)
def test_version_beside_production_is_described_and_predicts(
    beside: RunningApi, path: str, version: str, stage: str
) -> None:
    info = beside.get(path, role=Role.VIEWER).json()
    before = beside.sample("slipway_prediction_rows_total", model="iris", version=version) or 0
    answer = beside.post(f"{path}/predict", role=Role.USER, json=ROW)

    assert (info["model_version"], info["current_stage"], info["pinned"]) == (version, stage, False)
    assert answer.status_code == 200
    assert (answer.json()["model"], answer.json()["version"], answer.json()["label"]) == ("iris", version, ["setosa"])
    assert beside.sample("slipway_prediction_rows_total", model="iris", version=version) == before + 1


def test_candidate_prediction_is_logged_with_its_version_and_takes_feedback(beside: RunningApi) -> None:
    prediction = beside.post("/models/iris/candidates/linear/predict", role=Role.ADMIN, json=ROW).json()
    beside.ship()

    stored = beside.get(f"/predictions/{prediction['id']}", role=Role.ADMIN).json()
    feedback = beside.post(
        f"/predictions/{prediction['id']}/feedback", role=Role.ADMIN, json={"label": "versicolor"}
    ).json()

    assert (stored["model"], stored["version"]) == ("iris", "3")
    assert (feedback["model"], feedback["version"], feedback["correct"]) == ("iris", "3", False)


@pytest.mark.parametrize(("variant", "served"), [("Staging", "2"), ("candidate-linear", "3"), ("Production", "1")])
def test_sagemaker_variant_is_the_alias(beside: RunningApi, variant: str, served: str) -> None:
    headers = {"X-Amzn-SageMaker-Target-Variant": variant}
    rows = {"instances": [ROW["features"]]}

    answer = beside.post("/endpoints/iris/invocations", role=Role.ADMIN, headers=headers, json=rows)
    beside.ship()

    assert (answer.json(), answer.headers["X-Amzn-Invoked-Production-Variant"]) == (
        {"predictions": ["setosa"]},
        variant,
    )
    stored = beside.get(f"/predictions/{answer.headers['X-Prediction-ID']}", role=Role.ADMIN).json()
    assert stored["version"] == served


def test_readiness_and_list_of_models_have_no_candidates(beside: RunningApi) -> None:
    health = beside.get("/health/ready")

    assert (health.status_code, health.json()["models"]) == (200, {"iris": "1", "rose": "1"})
    listed = beside.get("/models", role=Role.VIEWER).json()["models"]
    assert [(one["model_name"], one["model_version"]) for one in listed] == [("iris", "1"), ("rose", "1")]


GETS = ("/models/iris/staging", "/models/iris/candidates", "/models/iris/candidates/linear")
POSTS = ("/models/iris/staging/predict", "/models/iris/candidates/linear/predict", "/endpoints/iris/invocations")
REFUSALS: tuple[tuple[str, str, Role | None, Any, int, str], ...] = (
    *(("GET", path, None, None, 401, "token") for path in GETS),
    *(("POST", path, None, ROW, 401, "token") for path in POSTS),
    *(("POST", path, Role.VIEWER, ROW, 403, "viewer") for path in POSTS),
    *(("POST", path, Role.USER, {"features": ["x"]}, 422, "") for path in POSTS),
    *(("POST", path.replace("iris", "lily"), Role.USER, ROW, 404, "lily") for path in POSTS),
    *(("GET", path.replace("iris", "lily"), Role.VIEWER, None, 404, "lily") for path in GETS),
    *(("GET", path, Role.USER, None, 405, "use POST") for path in POSTS),
    ("GET", "/models/rose/staging", Role.VIEWER, None, 404, "slipway models stage rose VERSION"),
    ("POST", "/models/rose/staging/predict", Role.USER, ROW, 404, "slipway models stage rose VERSION"),
    ("GET", "/models/iris/candidates/x", Role.VIEWER, None, 404, "GET /models/iris/candidates lists them"),
    ("POST", "/models/iris/candidates/x/predict", Role.USER, ROW, 404, "GET /models/iris/candidates lists them"),
    ("POST", "/models/iris/candidates/forest/predict", Role.USER, ROW, 404, "SLIPWAY_MAX_CANDIDATES"),
    ("POST", "/models/iris/candidates/worst/predict", Role.USER, ROW, 503, "version 4 of iris cannot be loaded"),
)


@pytest.mark.parametrize(("method", "path", "role", "content", "status", "detail"), REFUSALS)
def test_request_is_refused(
    beside: RunningApi, method: str, path: str, role: Role | None, content: Any, status: int, detail: str
) -> None:
    answer = beside.request(method, path, role=role, **({} if content is None else {"json": content}))

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert detail in answer.json()["detail"]


def test_model_outside_the_settings_has_no_candidates(start_api: StartApi, registry: InMemoryRegistry) -> None:
    registry.set_alias("iris", candidate_alias("linear"), "1")
    api = start_api(registry, ready=False, registry_poll_seconds=LONG, models=("rose",))
    api.post("/models/rose/reload", role=Role.ADMIN)

    paths = ("/models/iris/candidates", "/models/iris/candidates/linear")
    assert [api.get(path, role=Role.VIEWER).status_code for path in paths] == [404, 404]


def test_first_load_of_a_candidate_returns_503(start_api: StartApi, registry: InMemoryRegistry) -> None:
    registry.set_alias("iris", candidate_alias("linear"), "1")
    registry.reachable = False
    api = start_api(registry, ready=False, registry_poll_seconds=LONG)

    answer = api.post("/models/iris/candidates/linear/predict", role=Role.USER, json=ROW)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert api.get("/models/iris/candidates", role=Role.VIEWER).status_code == 503

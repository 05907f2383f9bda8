"""Bundles through MLflow's own tools, without Slipway: the same predictions as those of the API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest

from slipway_api.accounts.models import Role
from slipway_core.bundle import MANIFEST_TAG, MLMODEL_FILE
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.mlflow import MlflowRegistry
from support.api import RunningApi, make_database, running_api
from support.pyfunc import RECIPES, Registered, registered
from support.servers import free_port, running, wait_until_ready
from support.training import file_url
from support.typed_requests import csv_text

# MLflow warns of its own types when it first imports its model flavors; short fits do not all converge.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")]

NOTEBOOK = Path(__file__).parents[1] / "clients/notebook.py"
SERVED = "orders-booleans"
JSON, CSV = {"Content-Type": "application/json"}, {"Content-Type": "text/csv"}
# A change to the first row of a model, and the message about it.
INVALID: Mapping[str, tuple[str, str, Any, str]] = {
    "wrong type": ("orders-values", "visits", 1.5, "row 0: 'visits' must be an integer, not a number (1.5)"),
    "text": ("iris", "petal width (cm)", "wide", "row 0: 'petal width (cm)' must be a number, not a string ('wide')"),
    "missing value": ("iris", "petal width (cm)", None, "row 0: 'petal width (cm)' must be a finite number"),
    "unknown category": ("orders-values", "city", "Genf", "row 0: 'city' must be one of 'Basel', 'Bern'"),
}


@pytest.fixture(scope="module")
def models(mlflow_url: str) -> Iterator[Mapping[str, Registered]]:
    with MlflowRegistry(mlflow_url) as registry:
        yield {key: registered(key, mlflow_url, registry) for key in RECIPES}


@pytest.fixture(scope="module")
def api(
    mlflow_url: str, models: Mapping[str, Registered], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApi]:
    folder = tmp_path_factory.mktemp("api")
    names = tuple(one.name for one in models.values())
    with (
        MlflowRegistry(mlflow_url) as registry,
        running_api(
            folder,
            registry,
            make_database(folder / "template.db"),
            models=names,
            default_model=models[SERVED].name,
        ) as api,
    ):
        yield api


def notebook(mlflow_url: str, folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a process without Slipway predicts."""
    ended = subprocess.run(
        [sys.executable, "-P", str(NOTEBOOK)],
        input=json.dumps(given),
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": mlflow_url, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.fixture(scope="module")
def answers(
    mlflow_url: str, models: Mapping[str, Registered], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    given = {key: {"name": one.name, "columns": one.columns, "rows": one.rows} for key, one in models.items()}
    for case, (key, column, value, _) in INVALID.items():
        given[case] = {**given[key], "rows": [list({**models[key].named[0], column: value}.values())]}
    given["missing column"] = {**given["iris"], "columns": ["length", *models["iris"].columns[1:]]}
    return notebook(mlflow_url, tmp_path_factory.mktemp("notebook"), given)


@pytest.mark.parametrize("key", RECIPES)
def test_notebook_gets_the_predictions_of_the_api(
    api: RunningApi, models: Mapping[str, Registered], answers: Mapping[str, Any], key: str
) -> None:
    model, found = models[key], answers[key]

    native = api.post(f"/models/{model.name}/predict", role=Role.USER, json={"features": model.rows}).json()

    classes = model.manifest.classes
    if classes is None:
        assert found["prediction"] == found["other"] == native["prediction"]
        return
    labels = [classes[index] for index in native["prediction"]]
    assert found["prediction"] == found["other"] == labels
    assert list(map(type, found["prediction"])) == list(map(type, labels))
    assert list(map(list, zip(*found["probabilities"].values(), strict=True))) == native["probabilities"]


@pytest.mark.parametrize("case", INVALID)
def test_error_names_the_row_and_the_column(answers: Mapping[str, Any], case: str) -> None:
    assert INVALID[case][-1] in answers[case]["error"]


def test_error_names_the_missing_column(answers: Mapping[str, Any]) -> None:
    assert "Model is missing inputs ['sepal length (cm)']" in answers["missing column"]["error"]


def test_mlflow_models_serve_answers_like_invocations(
    api: RunningApi, models: Mapping[str, Registered], mlflow_url: str, tmp_path: Path
) -> None:
    model, port, log = models[SERVED], free_port(), tmp_path / "serve.log"
    split = {"columns": model.columns, "data": model.rows}
    accepted = {
        "dataframe_split": (JSON, json.dumps({"dataframe_split": split})),
        "dataframe_records": (JSON, json.dumps({"dataframe_records": model.named})),
        "instances": (JSON, json.dumps({"instances": model.named})),
        "CSV": (CSV, csv_text(model.rows, model.columns)),
        "probabilities": (JSON, json.dumps({"dataframe_split": split, "params": {"output": "probabilities"}})),
    }
    invalid = {
        "unknown category": {"dataframe_records": [{**model.named[0], "city": "Genf"}]},
        "unknown output": {"dataframe_split": split, "params": {"output": "shares"}},
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", f"models:/{model.name}@Production"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    # MLflow starts `uvicorn` by its name.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"MLFLOW_TRACKING_URI": mlflow_url, "PATH": path}
    with running(command, folder=tmp_path, log=log, environment=environment) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(process, f"{url}/ping", log=log, seconds=90, what="mlflow models serve")

        for name, (headers, content) in accepted.items():
            ours = api.post("/invocations", role=Role.USER, content=content.encode(), headers=headers)
            theirs = httpx.post(f"{url}/invocations", content=content.encode(), headers=headers)
            assert (ours.status_code, theirs.status_code) == (200, 200), (name, ours.text, theirs.text)
            assert theirs.json() == ours.json(), name
        for name, body in invalid.items():
            ours = api.post("/invocations", role=Role.USER, json=body)
            theirs = httpx.post(f"{url}/invocations", json=body)
            assert (ours.status_code, theirs.status_code) == (422, 400), name
            assert ours.json()["errors"][0]["msg"] in theirs.json()["message"], name


def test_requirements_are_minimal_and_the_signature_names_the_columns(
    models: Mapping[str, Registered], mlflow_url: str
) -> None:
    mlflow.set_tracking_uri(mlflow_url)
    mlflow.set_registry_uri(mlflow_url)
    address = f"models:/{models['penguins'].name}@Production"

    requirements = Path(mlflow.artifacts.download_artifacts(f"{address}/requirements.txt")).read_text(encoding="utf-8")
    signature = mlflow.models.get_model_info(address).signature

    names = {line.partition("==")[0] for line in requirements.splitlines()}
    assert names == {"mlflow", "numpy", "onnxruntime", "pandas", "pydantic"}
    assert signature.inputs.input_names() == models["penguins"].columns
    assert signature.params.params[0].name == "output"


def test_changed_description_does_not_reach_the_api(models: Mapping[str, Registered], mlflow_url: str) -> None:
    model = models["orders-texts"]
    url = file_url(mlflow_url, model.name, "1", MODEL_FILE).replace(MODEL_FILE, MLMODEL_FILE)
    before = httpx.get(url).raise_for_status().content
    httpx.put(url, content=before.replace(b"loader_module: slipway", b"loader_module: os")).raise_for_status()

    with MlflowRegistry(mlflow_url) as registry:
        version = registry.get_version(model.name, "1")
        bundle = fetch_bundle(registry, version, version.tags[MANIFEST_TAG])
    httpx.put(url, content=before).raise_for_status()

    assert bundle.manifest == model.manifest

"""A training of iris with a real MLflow server: tracking, registration and promotion."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from mlflow.types import DataType

from slipway_core.bundle import MANIFEST_FILE, REFERENCE_FILE, digest, read_bundle
from slipway_core.graph import Graph, replay
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE, SERVED_FILES
from slipway_core.registry import PRODUCTION
from slipway_core.registry.events import history
from slipway_core.registry.gate_result import GateResult
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.table_signature import signature_of
from slipway_trainer.pipeline import Outcome, run_pipeline
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Evaluation
from slipway_trainer.tracking import Tracker
from support.iris import IRIS, iris_dataset
from support.training import Model, file_url

# MLflow warns of its own types when it first imports its model flavors.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")]

NAME = "training-iris"
COMMIT = "0d4a3e9b0d4a3e9b0d4a3e9b0d4a3e9b0d4a3e9b"
EVENT_KEYS = {"action", "version", "from", "by", "at", "reason", "metrics", "data_version"}


class Reporter:
    """A reporter that records each finished step."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def step_finished(self, step: str, sentence: str) -> None:
        self.told.append(f"{step}: {sentence}")

    def progress(self, what: str, done: int, total: int) -> None:
        """Ignore it."""

    def gate_result(
        self, recipe: Recipe, evaluations: tuple[Evaluation, ...], best: Evaluation, gate_result: GateResult
    ) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Run:
    """The outcome, the reported steps and the model of a finished training."""

    outcome: Outcome
    told: list[str]
    model: Model


@pytest.fixture(scope="module")
def registry(mlflow_url: str) -> Iterator[MlflowRegistry]:
    with MlflowRegistry(mlflow_url) as registry:
        yield registry


@pytest.fixture(scope="module")
def client(mlflow_url: str) -> MlflowClient:
    return MlflowClient(mlflow_url, mlflow_url)


@pytest.fixture(scope="module")
def first(mlflow_url: str, registry: MlflowRegistry, client: MlflowClient) -> Run:
    """The first training of a model, with all candidates of the recipe."""
    reporter = Reporter()
    outcome = run_pipeline(
        IRIS.model_copy(update={"name": NAME}),
        data=None,
        data_dir=Path("there-is-no-such-folder"),
        mode="auto",
        open_registry=lambda: (Tracker(mlflow_url), registry),
        by="ada",
        commit=COMMIT,
        reporter=reporter,
    )
    return Run(outcome, reporter.told, Model(NAME, Path(), registry, client))


def artifact(client: MlflowClient, run_id: str, path: str, folder: Path) -> bytes:
    return Path(client.download_artifacts(run_id, path, str(folder))).read_bytes()


def test_first_version_is_production(first: Run) -> None:
    assert first.outcome.version.version == "1"
    assert first.outcome.gate_result.promote
    assert first.model.production == "1"


def test_each_step_is_reported_when_it_ends(first: Run) -> None:
    steps = [sentence.partition(":")[0] for sentence in first.told]

    assert steps == ["extract", "validate", "train", "train", "train", "evaluate", "register", "promote", "report"]
    assert first.told[-2] == f"promote: Production of {NAME} is now version 1"


def test_tags_of_the_version_match_its_files(first: Run, tmp_path: Path) -> None:
    tags = first.model.version("1").tags

    manifest = first.model.fetched("1", MANIFEST_FILE, tmp_path)

    assert tags["slipway.manifest_sha256"] == digest(manifest)
    assert json.loads(tags["slipway.metrics"]) == json.loads(manifest)["metrics"]
    assert tags["slipway.model_sha256"] == json.loads(manifest)["digests"][MODEL_FILE]
    assert tags["slipway.data_version"] == iris_dataset().version
    assert tags["slipway.git_commit"] == json.loads(manifest)["git_commit"] == COMMIT
    assert first.model.gate_result("1") == first.outcome.gate_result


def test_version_belongs_to_the_training_run(first: Run, registry: MlflowRegistry, client: MlflowClient) -> None:
    version = registry.get_version(NAME, "1")

    run = client.get_run(version.run_id)

    assert run.info.run_id == first.outcome.parent_run_id
    assert first.outcome.best.fitted.candidate.name in version.description


def test_promotion_event_has_exactly_the_designed_fields(first: Run, registry: MlflowRegistry) -> None:
    tags = registry.get_model(NAME).tags

    event = json.loads(tags["slipway.event.000001"])

    assert event.keys() == EVENT_KEYS
    assert (event["action"], event["version"], event["from"], event["by"]) == ("promote", "1", None, "ada")
    assert event["metrics"] == first.outcome.best.metrics
    assert event["data_version"] == iris_dataset().version
    assert event["reason"].startswith("gate: accuracy")
    assert [found.version for found in history(tags)] == ["1"]


def children(first: Run, client: MlflowClient) -> dict[str, Any]:
    """Return the runs below the first training's, by their candidates, as MLflow's UI finds them."""
    parent = client.get_run(first.outcome.parent_run_id)
    runs = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{first.outcome.parent_run_id}'"
    )
    return {run.data.params["estimator"]: run for run in runs}


def test_one_run_of_each_candidate_is_under_one_parent(first: Run, client: MlflowClient) -> None:
    runs = children(first, client)

    assert runs.keys() == {"logistic-regression", "random-forest", "gradient-boosting"}
    parent = client.get_run(first.outcome.parent_run_id)
    assert {run.info.status for run in (parent, *runs.values())} == {"FINISHED"}
    assert client.get_experiment(parent.info.experiment_id).name == NAME


def test_run_of_every_candidate_has_its_parameters(first: Run, client: MlflowClient) -> None:
    runs = children(first, client)

    for evaluation in first.outcome.evaluations:
        name = evaluation.fitted.candidate.name
        expected = {key: str(value) for key, value in evaluation.fitted.parameters.items()}
        assert runs[name].data.params == {"estimator": name, **expected}


def test_run_of_every_candidate_has_its_metrics(first: Run, client: MlflowClient) -> None:
    runs = children(first, client)

    for evaluation in first.outcome.evaluations:
        run = runs[evaluation.fitted.candidate.name]
        assert evaluation.metrics.items() <= run.data.metrics.items()
        assert run.data.metrics["parity_of_tolerance"] == evaluation.parity
        folds = client.get_metric_history(run.info.run_id, "cv_fold")
        assert [fold.value for fold in sorted(folds, key=lambda fold: fold.step)] == list(evaluation.fitted.cv_scores)


def test_run_of_every_candidate_has_its_figures(first: Run, client: MlflowClient, tmp_path: Path) -> None:
    for run in children(first, client).values():
        names = {file.path for file in client.list_artifacts(run.info.run_id)}
        figures = ("confusion_matrix", "roc", "calibration", "feature_importance")
        assert {f"{name}.{kind}" for name in figures for kind in ("png", "json")} <= names
        matrix = json.loads(artifact(client, run.info.run_id, "confusion_matrix.json", tmp_path))
        assert matrix["classes"] == list(IRIS.classes)
        assert sum(map(sum, matrix["counts"])) == 33
        assert artifact(client, run.info.run_id, "confusion_matrix.png", tmp_path).startswith(b"\x89PNG")


def test_only_the_chosen_candidate_is_tagged(first: Run, client: MlflowClient) -> None:
    chosen = {name for name, run in children(first, client).items() if run.data.tags["slipway.chosen"] == "true"}

    assert chosen == {first.outcome.best.fitted.candidate.name}


def test_parent_run_has_the_shared_parameters(first: Run, client: MlflowClient) -> None:
    parent = client.get_run(first.outcome.parent_run_id)

    expected = {
        "recipe": NAME,
        "data_version": iris_dataset().version,
        "rows": "150",
        "split": "stratified",
        "seed": "42",
        "chosen": first.outcome.best.fitted.candidate.name,
    }
    assert expected.items() <= parent.data.params.items()
    assert first.outcome.best.metrics.items() <= parent.data.metrics.items()
    steps = {"extract", "validate", "register", "promote", "report", "train_random-forest", "evaluate_random-forest"}
    assert {f"timing/{step}_seconds" for step in steps} <= parent.data.metrics.keys()
    assert parent.data.tags["slipway.data_version"] == iris_dataset().version
    assert parent.data.tags["mlflow.user"] == "ada"
    assert parent.data.tags["mlflow.source.name"] == f"slipway train {NAME}"


def test_training_run_links_data_model_version_and_plots(first: Run, client: MlflowClient) -> None:
    parent = client.get_run(first.outcome.parent_run_id)
    winner = children(first, client)[first.outcome.best.fitted.candidate.name]

    (data,) = parent.inputs.dataset_inputs
    assert data.dataset.digest == iris_dataset().version.removeprefix("sha256:")[:32]
    assert json.loads(data.dataset.profile) == {"num_rows": 150}
    (model,) = parent.outputs.model_outputs
    assert [output.model_id for output in winner.outputs.model_outputs] == [model.model_id]
    assert client.get_model_version(NAME, "1").source == f"models:/{model.model_id}"
    assert parent.data.tags["slipway.model_version"] == winner.data.tags["slipway.model_version"] == f"{NAME}/1"
    assert parent.data.tags["slipway.chosen_run"] == winner.info.run_id
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"confusion_matrix.png", "feature_importance.png", "roc.json"} <= names


def test_run_names_contain_model_date_and_candidate(first: Run, client: MlflowClient) -> None:
    parent = client.get_run(first.outcome.parent_run_id).info.run_name

    assert re.fullmatch(rf"{NAME} \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ", parent)
    assert {name: run.info.run_name for name, run in children(first, client).items()} == {
        evaluation.fitted.candidate.name: f"{parent} {evaluation.fitted.candidate.name}"
        for evaluation in first.outcome.evaluations
    }


def test_timings_are_in_a_separate_group(first: Run, client: MlflowClient) -> None:
    runs = [client.get_run(first.outcome.parent_run_id), *children(first, client).values()]

    for run in runs:
        timings = {name for name in run.data.metrics if "seconds" in name}
        assert timings
        assert all(name.startswith("timing/") for name in timings)


def test_signature_names_the_columns(first: Run, mlflow_url: str) -> None:
    mlflow.set_tracking_uri(mlflow_url)
    mlflow.set_registry_uri(mlflow_url)

    signature = mlflow.models.get_model_info(f"models:/{NAME}/1").signature

    assert signature.inputs.input_names() == IRIS.feature_names
    assert signature.outputs.input_types() == [DataType.string]
    assert [param.name for param in signature.params.params] == ["output"]


def test_mlflows_own_flavor_loads_the_model(first: Run, mlflow_url: str) -> None:
    mlflow.set_tracking_uri(mlflow_url)
    mlflow.set_registry_uri(mlflow_url)

    model = mlflow.onnx.load_model(f"models:/{NAME}@{PRODUCTION}")

    session = onnxruntime.InferenceSession(model.SerializeToString())
    label, _ = session.run(None, {"X": np.array([[5.1, 3.5, 1.4, 0.2]], dtype=np.float32)})
    assert label.tolist() == [0]


def test_graph_is_one_file(first: Run, registry: MlflowRegistry, mlflow_url: str, tmp_path: Path) -> None:
    url = file_url(mlflow_url, NAME, "1", MODEL_FILE)
    listing, _, path = url.removesuffix(f"/{MODEL_FILE}").partition("/artifacts/")

    files = httpx.get(f"{listing}/artifacts", params={"path": path}).raise_for_status().json()["files"]
    extra = httpx.get(f"{listing}/artifacts", params={"path": f"{path}/extra_files"}).raise_for_status().json()["files"]
    model = onnx.load_model_from_string(first.model.fetched("1", MODEL_FILE, tmp_path))

    names = {file["path"] for file in files}
    assert names == {
        *("MLmodel", MODEL_FILE, "code", "extra_files"),
        *("conda.yaml", "python_env.yaml", "requirements.txt"),
    }
    assert {file["path"] for file in extra} == {MANIFEST_FILE, GOLDEN_FILE, REFERENCE_FILE}
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_registered_graph_predicts_all_150_iris_rows(first: Run, registry: MlflowRegistry, tmp_path: Path) -> None:
    version = registry.get_version(NAME, "1")
    for file in (MANIFEST_FILE, *SERVED_FILES):
        first.model.fetched("1", file, tmp_path)
    bundle = read_bundle(tmp_path, version.tags["slipway.manifest_sha256"])
    graph = Graph(bundle.model, bundle.manifest.graph)
    frame = iris_dataset().frame

    outputs = graph.run(frame[[column.name for column in bundle.manifest.columns]].to_numpy(dtype=np.float32))

    assert bundle.manifest.classes is not None
    said = np.array(bundle.manifest.classes)[outputs.prediction.astype(int)]
    assert np.mean(said == frame["species"]) >= 0.95
    replay(graph, bundle.golden, signature_of(bundle.manifest))


def test_reference_rows_are_stored_with_the_graph(first: Run, tmp_path: Path) -> None:
    manifest = json.loads(first.model.fetched("1", MANIFEST_FILE, tmp_path))

    content = first.model.fetched("1", REFERENCE_FILE, tmp_path)

    assert digest(content) == manifest["digests"][REFERENCE_FILE]
    assert len(pd.read_parquet(tmp_path / REFERENCE_FILE)) == 117

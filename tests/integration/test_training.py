"""A training run against a real MLflow server: what is tracked, registered, promoted, and what is refused."""

import json
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

from slipway_core.bundle import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    SERVED_FILES,
    digest,
    read_bundle,
)
from slipway_core.errors import RegistryNotFoundError
from slipway_core.graph import Graph, replay
from slipway_core.registry import PRODUCTION, ModelVersion
from slipway_core.registry.events import history
from slipway_core.registry.mlflow import ARTIFACT_PATHS, MlflowRegistry
from slipway_trainer.cli import main
from slipway_trainer.pipeline import Outcome, run_pipeline
from slipway_trainer.recipes import RECIPES, Recipe
from slipway_trainer.recipes.iris import IRIS
from slipway_trainer.tracking import Tracker
from support.bundles import bundle_files, linear_classifier
from support.command import Ended, run
from support.iris import iris_dataset
from support.versions import add_version

# MLflow warns of its own types when it first imports its model flavors.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

NAME = "training-iris"
EVENT_KEYS = {"action", "version", "from", "by", "at", "reason", "metrics", "data_version"}


@dataclass(frozen=True)
class Run:
    """A finished training, and each sentence that was told."""

    outcome: Outcome
    told: list[str]


def light(name: str, **changes: object) -> Recipe:
    """Return a recipe of its own name with one candidate that is fitted at once."""
    return IRIS.model_copy(update={"name": name, "candidates": IRIS.candidates[:1], "folds": 2, **changes})


def train(recipe: Recipe, mlflow_url: str, registry: MlflowRegistry, data: Path | None = None) -> Run:
    told: list[str] = []
    outcome = run_pipeline(
        recipe,
        data=data,
        data_dir=Path("there-is-no-such-folder"),
        open_registry=lambda: (Tracker(mlflow_url), registry),
        by="ada",
        tell=told.append,
    )
    return Run(outcome, told)


@pytest.fixture(scope="module")
def registry(mlflow_url: str) -> Iterator[MlflowRegistry]:
    with MlflowRegistry(mlflow_url) as registry:
        yield registry


@pytest.fixture(scope="module")
def client(mlflow_url: str) -> MlflowClient:
    return MlflowClient(mlflow_url, mlflow_url)


@pytest.fixture(scope="module")
def first(mlflow_url: str, registry: MlflowRegistry) -> Run:
    """The first training of a model, with all candidates of the recipe."""
    return train(IRIS.model_copy(update={"name": NAME}), mlflow_url, registry)


@pytest.fixture
def recipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, mlflow_url: str) -> Recipe:
    """A light recipe of its own name, that the command knows, too."""
    recipe = light(f"training-{request.node.name.partition('[')[0]}")
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    return recipe


def command(recipe: Recipe, *options: str) -> Ended:
    """Run the trainer's command on a recipe, which takes the place of the one of its name."""
    RECIPES[recipe.name] = recipe
    return run(main, "train", recipe.name, *options)


def champion(mlflow_url: str, registry: MlflowRegistry, name: str) -> str:
    """Register a whole version without training it, make it Production and return its number."""
    version = add_version(mlflow_url, name, bundle_files(name))
    registry.set_alias(name, PRODUCTION, version)
    return version


def file_url(mlflow_url: str, name: str, version: str, file: str) -> str:
    """Return the address that a file of a version is stored under."""
    call = f"{mlflow_url}/api/2.0/mlflow/model-versions/get-download-uri"
    answer = httpx.get(call, params={"name": name, "version": version}).raise_for_status().json()
    folder = answer["artifact_uri"].removeprefix("mlflow-artifacts:/")
    return f"{mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{folder}/{ARTIFACT_PATHS[file]}"


def fetched(registry: MlflowRegistry, version: ModelVersion, file: str, folder: Path) -> bytes:
    registry.fetch(version, file, folder / file)
    return (folder / file).read_bytes()


def production(registry: MlflowRegistry, name: str) -> str | None:
    return registry.get_model(name).aliases.get(PRODUCTION)


def artifact(client: MlflowClient, run_id: str, path: str, folder: Path) -> bytes:
    return Path(client.download_artifacts(run_id, path, str(folder))).read_bytes()


def test_the_first_version_is_production(first: Run, registry: MlflowRegistry) -> None:
    assert first.outcome.version.version == "1"
    assert first.outcome.decision.promote
    assert production(registry, NAME) == "1"


def test_each_step_is_told_as_it_ends(first: Run) -> None:
    steps = [sentence.partition(":")[0] for sentence in first.told]

    assert steps == ["extract", "validate", "train", "train", "train", "evaluate", "register", "promote"]
    assert first.told[-1].startswith("promote: Production is version 1: accuracy")


def test_the_version_is_tagged_with_what_was_registered(first: Run, registry: MlflowRegistry, tmp_path: Path) -> None:
    version = registry.get_version(NAME, "1")

    manifest = fetched(registry, version, MANIFEST_FILE, tmp_path)

    assert version.tags["slipway.manifest_sha256"] == digest(manifest)
    assert json.loads(version.tags["slipway.metrics"]) == json.loads(manifest)["metrics"]
    assert version.tags["slipway.data_version"] == iris_dataset().version
    assert json.loads(version.tags["slipway.gate"]) == {
        "promote": True,
        "reasons": list(first.outcome.decision.reasons),
    }


def test_the_version_belongs_to_the_run_of_the_chosen_candidate(
    first: Run, registry: MlflowRegistry, client: MlflowClient
) -> None:
    version = registry.get_version(NAME, "1")

    run = client.get_run(version.run_id)

    assert run.info.run_name == first.outcome.best.fitted.candidate.name
    assert first.outcome.best.fitted.candidate.name in version.description


def test_the_promotion_is_an_event_with_exactly_the_fields_of_the_design(first: Run, registry: MlflowRegistry) -> None:
    tags = registry.get_model(NAME).tags

    event = json.loads(tags["slipway.event.000001"])

    assert event.keys() == EVENT_KEYS
    assert (event["action"], event["version"], event["from"], event["by"]) == ("promote", "1", None, "ada")
    assert event["metrics"] == first.outcome.best.metrics
    assert event["data_version"] == iris_dataset().version
    assert event["reason"].startswith("gate: accuracy")
    assert [found.version for found in history(tags)] == ["1"]


def children(first: Run, client: MlflowClient) -> dict[str, Any]:
    """Return the runs below the first training's, by their names, as MLflow's UI finds them."""
    parent = client.get_run(first.outcome.parent_run_id)
    runs = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{first.outcome.parent_run_id}'"
    )
    return {run.info.run_name: run for run in runs}


def test_one_run_of_each_candidate_is_under_one_parent(first: Run, client: MlflowClient) -> None:
    runs = children(first, client)

    assert runs.keys() == {"logistic-regression", "random-forest", "gradient-boosting"}
    parent = client.get_run(first.outcome.parent_run_id)
    assert {run.info.status for run in (parent, *runs.values())} == {"FINISHED"}
    assert client.get_experiment(parent.info.experiment_id).name == NAME


def test_every_candidates_run_has_its_parameters(first: Run, client: MlflowClient) -> None:
    runs = children(first, client)

    for candidate in IRIS.candidates:
        expected = {key: str(value) for key, value in candidate.parameters.items()}
        assert runs[candidate.name].data.params == {"estimator": candidate.name, **expected}


def test_every_candidates_run_has_its_metrics(first: Run, client: MlflowClient) -> None:
    runs = children(first, client)

    for evaluation in first.outcome.evaluations:
        run = runs[evaluation.fitted.candidate.name]
        assert evaluation.metrics.items() <= run.data.metrics.items()
        assert run.data.metrics["parity_max_difference"] == evaluation.parity
        folds = client.get_metric_history(run.info.run_id, "cv_fold")
        assert [fold.value for fold in sorted(folds, key=lambda fold: fold.step)] == list(evaluation.fitted.cv_scores)


def test_every_candidates_run_has_its_confusion_matrix(first: Run, client: MlflowClient, tmp_path: Path) -> None:
    runs = children(first, client)

    for evaluation in first.outcome.evaluations:
        run_id = runs[evaluation.fitted.candidate.name].info.run_id
        content = json.loads(artifact(client, run_id, "confusion_matrix.json", tmp_path))
        assert content == {"classes": list(IRIS.classes), "counts": evaluation.confusion.tolist()}
        assert artifact(client, run_id, "confusion_matrix.png", tmp_path).startswith(b"\x89PNG")


def test_the_chosen_candidate_alone_is_tagged(first: Run, client: MlflowClient) -> None:
    chosen = {name for name, run in children(first, client).items() if run.data.tags["slipway.chosen"] == "true"}

    assert chosen == {first.outcome.best.fitted.candidate.name}


def test_the_parent_run_tells_what_holds_for_all(first: Run, client: MlflowClient) -> None:
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
    assert parent.data.metrics == first.outcome.best.metrics
    assert parent.data.tags["slipway.data_version"] == iris_dataset().version
    assert parent.data.tags["mlflow.user"] == "ada"
    assert parent.data.tags["mlflow.source.name"] == f"slipway train {NAME}"


def test_mlflows_own_flavor_loads_the_model(first: Run, mlflow_url: str) -> None:
    mlflow.set_tracking_uri(mlflow_url)
    mlflow.set_registry_uri(mlflow_url)

    model = mlflow.onnx.load_model(f"models:/{NAME}@{PRODUCTION}")

    session = onnxruntime.InferenceSession(model.SerializeToString())
    label, _ = session.run(None, {"X": np.array([[5.1, 3.5, 1.4, 0.2]], dtype=np.float32)})
    assert label.tolist() == [0]


def test_the_graph_is_one_file(first: Run, registry: MlflowRegistry, mlflow_url: str, tmp_path: Path) -> None:
    url = file_url(mlflow_url, NAME, "1", MODEL_FILE)
    listing, _, path = url.removesuffix(f"/{MODEL_FILE}").partition("/artifacts/")

    files = httpx.get(f"{listing}/artifacts", params={"path": path}).raise_for_status().json()["files"]
    extra = httpx.get(f"{listing}/artifacts", params={"path": f"{path}/extra_files"}).raise_for_status().json()["files"]
    model = onnx.load_model_from_string(fetched(registry, first.outcome.version, MODEL_FILE, tmp_path))

    names = {file["path"] for file in files}
    assert names == {"MLmodel", MODEL_FILE, "extra_files", "conda.yaml", "python_env.yaml", "requirements.txt"}
    assert {file["path"] for file in extra} == {MANIFEST_FILE, GOLDEN_FILE, REFERENCE_FILE}
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_the_registered_graph_tells_the_species_of_all_150_flowers(
    first: Run, registry: MlflowRegistry, tmp_path: Path
) -> None:
    version = registry.get_version(NAME, "1")
    for file in (MANIFEST_FILE, *SERVED_FILES):
        fetched(registry, version, file, tmp_path)
    bundle = read_bundle(tmp_path, version.tags["slipway.manifest_sha256"])
    graph = Graph(bundle.model, bundle.manifest.graph)
    frame = iris_dataset().frame

    outputs = graph.run(frame[[column.name for column in bundle.manifest.inputs]].to_numpy(dtype=np.float32))

    assert bundle.manifest.classes is not None
    said = np.array(bundle.manifest.classes)[outputs.prediction.astype(int)]
    assert np.mean(said == frame["species"]) >= 0.95
    replay(graph, bundle.golden)


def test_the_reference_rows_are_beside_the_graph(first: Run, registry: MlflowRegistry, tmp_path: Path) -> None:
    version = registry.get_version(NAME, "1")
    manifest = json.loads(fetched(registry, version, MANIFEST_FILE, tmp_path))

    content = fetched(registry, version, REFERENCE_FILE, tmp_path)

    assert digest(content) == manifest["digests"][REFERENCE_FILE]
    assert len(pd.read_parquet(tmp_path / REFERENCE_FILE)) == 120


def test_a_second_training_ties_and_takes_the_place_of_the_first(
    recipe: Recipe, mlflow_url: str, registry: MlflowRegistry
) -> None:
    train(recipe, mlflow_url, registry)

    second = train(recipe, mlflow_url, registry).outcome

    score = f"{second.best.metrics['accuracy']:.4f}"
    assert second.decision.reasons[-1] == f"accuracy {score} is not worse than the champion's {score} on the same rows"
    assert production(registry, recipe.name) == second.version.version == "2"
    events = history(registry.get_model(recipe.name).tags)
    assert [(event.from_version, event.version) for event in events] == [(None, "1"), ("1", "2")]


def test_a_version_below_the_floor_is_registered_and_not_promoted(
    recipe: Recipe, mlflow_url: str, registry: MlflowRegistry
) -> None:
    before = champion(mlflow_url, registry, recipe.name)

    ended = command(recipe.model_copy(update={"floors": {"accuracy": 1.01}}))

    assert ended.exit_code == 1
    assert "promote: refused version 2: accuracy" in ended.output
    assert ended.error == ""
    assert production(registry, recipe.name) == before == "1"
    gate = json.loads(registry.get_version(recipe.name, "2").tags["slipway.gate"])
    assert gate["promote"] is False
    assert "is below the floor 1.0100" in gate["reasons"][0]
    assert history(registry.get_model(recipe.name).tags) == []


def test_a_version_worse_than_the_champion_is_not_promoted(
    recipe: Recipe, mlflow_url: str, registry: MlflowRegistry
) -> None:
    before = champion(mlflow_url, registry, recipe.name)
    weak = IRIS.candidates[0].model_copy(update={"parameters": {"C": 1e-6}})

    ended = command(recipe.model_copy(update={"candidates": (weak,), "floors": {}, "seed": 3}))

    assert ended.exit_code == 1
    assert "is worse than the champion's" in ended.output
    assert production(registry, recipe.name) == before


def test_the_command_shows_the_candidates_and_ends_with_0_when_the_version_is_production(
    recipe: Recipe, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")

    ended = command(recipe, "--wait", "30")

    assert ended.exit_code == 0, ended.error
    row = next(line for line in ended.output.splitlines() if "✓" in line)
    assert "logistic-regression" in row
    (event,) = history(registry.get_model(recipe.name).tags)
    assert (event.version, event.by) == ("1", "grace")


def test_refused_data_registers_nothing(
    recipe: Recipe, registry: MlflowRegistry, client: MlflowClient, tmp_path: Path
) -> None:
    data = tmp_path / "iris.csv"
    iris_dataset().frame.replace({"species": {"setosa": "rose"}}).to_csv(data, index=False)

    ended = command(recipe, "--data", str(data))

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: the data was refused, nothing is registered: 'species' is none of setosa")
    assert client.get_experiment_by_name(recipe.name) is None
    with pytest.raises(RegistryNotFoundError):
        registry.get_model(recipe.name)


def test_other_data_is_another_version_of_the_data(
    recipe: Recipe, mlflow_url: str, registry: MlflowRegistry, tmp_path: Path
) -> None:
    data = tmp_path / "mine.csv"
    iris_dataset().frame.iloc[::-1].to_csv(data, index=False)

    version = train(recipe, mlflow_url, registry, data).outcome.version

    assert version.tags["slipway.data_version"] != iris_dataset().version
    assert version.tags["slipway.data_version"].startswith("sha256:")


def test_outside_a_checkout_no_commit_is_told(
    recipe: Recipe, mlflow_url: str, registry: MlflowRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)

    version = train(recipe, mlflow_url, registry).outcome.version

    assert "slipway.git_commit" not in version.tags
    assert json.loads(fetched(registry, version, MANIFEST_FILE, tmp_path))["git_commit"] is None


@pytest.mark.parametrize("change", ["damaged", "gone"])
def test_a_champion_that_cannot_be_read_leaves_the_decision_to_the_floors(
    recipe: Recipe, mlflow_url: str, registry: MlflowRegistry, change: str
) -> None:
    recipe = recipe.model_copy(update={"name": f"{recipe.name}-{change}"})
    before = champion(mlflow_url, registry, recipe.name)
    url = file_url(mlflow_url, recipe.name, before, MODEL_FILE)
    answer = httpx.put(url, content=linear_classifier()[:-20]) if change == "damaged" else httpx.delete(url)
    answer.raise_for_status()

    outcome = train(recipe, mlflow_url, registry).outcome

    assert outcome.decision.promote
    assert outcome.decision.reasons[-1] == "there is no champion to compare with"
    assert production(registry, recipe.name) == outcome.version.version


def test_an_experiment_that_was_deleted_is_told_in_one_sentence(recipe: Recipe, client: MlflowClient) -> None:
    client.delete_experiment(client.create_experiment(recipe.name))

    ended = command(recipe)

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: the tracking server refused or failed: ")
    assert len(ended.error.splitlines()) == 1


def test_a_name_that_the_registry_refuses_is_told_in_one_sentence(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = recipe.model_copy(update={"name": "training/with:signs"})
    monkeypatch.setitem(RECIPES, named.name, named)

    ended = command(named)

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: the tracking server refused or failed: ")
    assert len(ended.error.splitlines()) == 1

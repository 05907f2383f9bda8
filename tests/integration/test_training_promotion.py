"""Trainings with a real MLflow server: promotion, rejection by the gate, and failures."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from slipway_core.bundle import MANIFEST_FILE
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION
from slipway_core.registry.events import history
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.registry.signatures import checked_events, signed_digest
from slipway_core.signing.files import create_key, read_trusted_keys
from slipway_trainer import pipeline
from slipway_trainer.lineage import UNKNOWN_COMMIT
from slipway_trainer.overrides import override
from slipway_trainer.steps.evaluate import evaluate
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate
from support.bike import BIKE, bike_dataset, bike_frame
from support.bundles import bundle_files, linear_classifier
from support.iris import iris_dataset
from support.training import LIGHT, Model, file_url, recipe_file
from support.versions import add_version

pytestmark = [
    # A training in each test exceeds the time of `make test`.
    pytest.mark.slow,
    # MLflow warns of its own types when it first imports its model flavors.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

# Worse than LIGHT on the test rows, without a floor.
POOR = ("candidates=logistic-regression", "C=0.001", "folds=2", "floors.accuracy=0")


@pytest.fixture(scope="module")
def registry(mlflow_url: str) -> Iterator[MlflowRegistry]:
    with MlflowRegistry(mlflow_url) as registry:
        yield registry


@pytest.fixture(scope="module")
def client(mlflow_url: str) -> MlflowClient:
    return MlflowClient(mlflow_url, mlflow_url)


@pytest.fixture(autouse=True)
def _environment(mlflow_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    monkeypatch.setenv("SLIPWAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LOGNAME", "grace")
    # Figures are slow, and test_training covers them.
    monkeypatch.setattr(pipeline, "report", lambda *_arguments, **_named: None)


@pytest.fixture
def model(request: pytest.FixtureRequest, registry: MlflowRegistry, client: MlflowClient, tmp_path: Path) -> Model:
    """An untrained model with a unique name and the recipe of iris."""
    name = "training-" + re.sub(r"\W+", "-", request.node.name.removeprefix("test_").replace("_", "-")).strip("-")
    return Model(name, recipe_file(tmp_path, name), registry, client)


def champion(model: Model, mlflow_url: str) -> str:
    """Register a complete version, make it Production and return its number."""
    version = add_version(mlflow_url, model.name, bundle_files(model.name))
    model.registry.set_alias(model.name, PRODUCTION, version)
    return version


def score_of_bike(settings: Sequence[str]) -> float:
    """Return the score of the only candidate of `bike-demand` with these settings."""
    recipe = override(BIKE, settings)
    split = split_rows(recipe, validate(recipe, bike_dataset()))
    fitted = train(recipe, recipe.candidates[0], split, lambda _done, _total: None)
    return evaluate(recipe, fitted, split).metrics["r2"]


def runs_of(model: Model) -> list[str]:
    """Return the status of each parent run of a model, the newest first."""
    experiment = model.client.get_experiment_by_name(model.name)
    assert experiment is not None
    runs = model.client.search_runs([experiment.experiment_id])
    return [str(run.info.status) for run in runs if "mlflow.parentRunId" not in run.data.tags]


def test_better_or_equal_version_is_promoted_worse_is_not(model: Model) -> None:
    first, tie = model.train(), model.train()

    poor = model.train(settings=POOR)

    assert (first.exit_code, tie.exit_code, poor.exit_code) == (0, 0, 1), poor.error
    assert model.production == "2"
    assert "equals Production's" in model.gate_result("2").summary
    assert "is worse than Production's" in model.gate_result("3").summary
    assert all(f"- {reason}\n" in poor.output for reason in model.gate_result("3").reasons)
    events = history(model.registry.get_model(model.name).tags)
    assert [(event.from_version, event.version, event.by) for event in events] == [
        (None, "1", "grace"),
        ("1", "2", "grace"),
    ]
    assert runs_of(model) == ["FINISHED"] * 3


def test_worse_version_promoted_by_force_has_that_reason(model: Model) -> None:
    model.train()

    forced = model.train("--promote", "force", settings=POOR)

    assert forced.exit_code == 0, forced.error
    assert model.production == "2"
    gate_result = model.gate_result("2")
    assert (gate_result.mode, gate_result.passed) == ("force", False)
    *_, event = history(model.registry.get_model(model.name).tags)
    assert event.reason == f"forced, although the gate failed: {gate_result.summary}"


def test_mode_never_registers_and_leaves_production(model: Model) -> None:
    ended = model.train("--promote", "never", "--wait", "30")

    assert ended.exit_code == 0, ended.error
    assert "logistic-regression ✓" in ended.output
    assert "Promotion gate (--promote never)" in ended.output
    assert "version 1 is registered, and Production of" in ended.output
    gate_result = model.gate_result("1")
    assert (gate_result.mode, gate_result.passed, gate_result.promote) == ("never", True, False)
    assert model.production is None
    assert history(model.registry.get_model(model.name).tags) == []


def test_slightly_worse_version_is_rejected_with_enough_digits(model: Model, tmp_path: Path) -> None:
    data = tmp_path / "hour.csv"
    bike_frame().to_csv(data, index=False)
    bike = Model(model.name, recipe_file(tmp_path, model.name, "bike_demand"), model.registry, model.client)
    linear = ("candidates=linear-regression", "folds=2", "floors.r2=0.5")
    # A small change of the shrinkage changes the fifth digit of the score.
    scores = {alpha: score_of_bike((*linear, f"alpha={alpha}")) for alpha in ("1.001", "1.003")}
    better, worse = sorted(scores, key=lambda alpha: -scores[alpha])

    first, second = (bike.train("--data", str(data), settings=(*linear, f"alpha={alpha}")) for alpha in (better, worse))

    assert (first.exit_code, second.exit_code) == (0, 1), first.error
    assert bike.production == "1"
    shown, best = re.findall(r"-?\d\.\d{5,}", bike.gate_result("2").summary)
    assert float(best) - 1e-4 < float(shown) < float(best)


def test_version_below_the_floor_is_registered_not_promoted(model: Model, mlflow_url: str) -> None:
    before = champion(model, mlflow_url)

    ended = model.train(settings=(*LIGHT, "floors.accuracy=1.01"))

    assert (ended.exit_code, ended.error) == (1, "")
    assert model.production == before
    assert "is below the floor 1.0100" in model.gate_result("2").summary
    assert history(model.registry.get_model(model.name).tags) == []


@pytest.mark.parametrize("change", ["damaged", "gone"])
def test_unreadable_champion_leaves_the_decision_to_the_floors(model: Model, mlflow_url: str, change: str) -> None:
    before = champion(model, mlflow_url)
    url = file_url(mlflow_url, model.name, before, MODEL_FILE)
    answer = httpx.put(url, content=linear_classifier()[:-20]) if change == "damaged" else httpx.delete(url)
    answer.raise_for_status()

    ended = model.train()

    assert ended.exit_code == 0, ended.error
    assert model.production == "2"
    assert "Production (version 1) cannot be compared: " in model.gate_result("2").summary


def test_rejected_data_makes_no_version_and_no_run(model: Model, mlflow_url: str, tmp_path: Path) -> None:
    before = champion(model, mlflow_url)
    data = tmp_path / "iris.csv"
    frame = iris_dataset().frame
    frame.assign(species=frame["species"].sample(frac=1, random_state=1).to_numpy()).to_csv(data, index=False)

    ended = model.train("--data", str(data))

    assert ended.exit_code == 1
    assert ended.error.startswith(
        "Error: the data was rejected, and no version was registered: the features hardly predict"
    )
    assert model.client.get_experiment_by_name(model.name) is None
    assert [version.version for version in model.registry.list_versions(model.name)] == [before]
    assert model.production == before


def test_failed_registration_marks_its_run_as_failed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        raise MlflowException("the disk is full")

    monkeypatch.setattr(MlflowClient, "create_model_version", refuse)

    ended = model.train()

    assert ended.exit_code == 1
    assert ended.error == "Error: the tracking server rejected the request or failed: the disk is full\n"
    assert runs_of(model) == ["FAILED"]


def test_training_outside_a_checkout_records_an_unknown_commit(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "mine.csv"
    iris_dataset().frame.iloc[::-1].to_csv(data, index=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)

    model.train("--data", str(data))

    tags = model.version("1").tags
    assert tags["slipway.data_version"].startswith("sha256:")
    assert tags["slipway.data_version"] != iris_dataset().version
    assert tags["slipway.git_commit"] == UNKNOWN_COMMIT
    assert json.loads(model.fetched("1", MANIFEST_FILE, tmp_path))["git_commit"] == UNKNOWN_COMMIT


def test_deleted_experiment_is_reported_in_one_sentence(model: Model) -> None:
    model.client.delete_experiment(model.client.create_experiment(model.name))

    ended = model.train()

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: the tracking server rejected the request or failed: ")
    assert len(ended.error.splitlines()) == 1


def test_signed_training_compares_with_the_signed_history(
    model: Model, mlflow_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signer, trusted = create_key(tmp_path / "key.pem"), tmp_path / "trusted-keys"
    trusted.write_text(f"{signer.public_key('trainer')}\n", encoding="utf-8")
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY_FILE", str(tmp_path / "key.pem"))
    monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", str(trusted))

    first = model.train()
    planted = champion(model, mlflow_url)  # its features differ, so it would be compared with nothing
    poor = model.train(settings=POOR)

    assert (first.exit_code, poor.exit_code) == (0, 1), poor.error
    assert "is worse than Production's" in model.gate_result("3").summary
    keys = read_trusted_keys(trusted)
    assert keys is not None
    for version in ("1", "3"):
        assert signed_digest(model.registry.get_version(model.name, version), keys).startswith("sha256:")
    (event,) = checked_events(model.registry.get_model(model.name), keys)
    assert event.key is not None
    monkeypatch.delenv("SLIPWAY_SIGNING_KEY_FILE")
    unsigned = model.train()
    assert unsigned.exit_code == 1
    assert "set SLIPWAY_SIGNING_KEY_FILE" in unsigned.error
    assert len(model.registry.list_versions(model.name)) == int(planted) + 1  # rejected before the training

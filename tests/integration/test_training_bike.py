"""Trainings of bike demand: a regression with a real MLflow server, and the real data if available."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from slipway_core.bundle import MANIFEST_FILE, read_bundle
from slipway_core.graph import Graph, replay
from slipway_core.manifest import SERVED_FILES
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.table_signature import signature_of
from slipway_trainer.data_checks import find_data_problems
from slipway_trainer.overrides import override
from slipway_trainer.steps.evaluate import evaluate
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate
from support.bike import BIKE, SMALL, bike_frame
from support.training import Model, recipe_file

# MLflow warns of its own types when it first imports its model flavors.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")]

NAME = "training-bike-demand"


@pytest.fixture
def model(mlflow_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """An untrained model with the recipe under another name."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    monkeypatch.setenv("SLIPWAY_DATA_DIR", str(tmp_path / "data"))
    with MlflowRegistry(mlflow_url) as registry:
        file = recipe_file(tmp_path, NAME, "bike_demand")
        yield Model(NAME, file, registry, MlflowClient(mlflow_url, mlflow_url))


def test_bike_demand_is_registered_as_a_regression_that_replays(model: Model, tmp_path: Path) -> None:
    (tmp_path / "data" / "bike-sharing").mkdir(parents=True)
    bike_frame().to_csv(tmp_path / "data" / "bike-sharing" / "hour.csv", index=False)

    ended = model.train(settings=SMALL)

    assert ended.exit_code == 0, ended.error
    for file in (MANIFEST_FILE, *SERVED_FILES):
        model.fetched("1", file, tmp_path)
    bundle = read_bundle(tmp_path, model.version("1").tags["slipway.manifest_sha256"])
    assert (bundle.manifest.task, bundle.manifest.data.rows) == ("regression", len(bike_frame()))
    assert bundle.manifest.metrics["r2"] > 0.7
    graph = Graph(bundle.model, bundle.manifest.graph)
    replay(graph, bundle.golden, signature_of(bundle.manifest))
    names = [column.name for column in bundle.manifest.columns]
    said = graph.run(bike_frame()[names].to_numpy(dtype=np.float32)).prediction
    assert np.corrcoef(said, bike_frame()["cnt"])[0, 1] > 0.9
    files = {file.path for file in model.client.list_artifacts(model.version("1").run_id)}
    figures = ("prediction_against_truth", "residuals", "feature_importance")
    assert {f"{name}.{kind}" for name in figures for kind in ("png", "json")} <= files


def real_data() -> Path:
    """Return the folder with the real data of the recipe; skip the test if the file is missing."""
    folder = Path(os.environ.get("SLIPWAY_DATA_DIR", "data"))
    if not (folder / BIKE.data_file).is_file():
        pytest.skip(f"SLIPWAY_DATA_DIR holds no {BIKE.data_file}")
    return folder


def test_the_real_data_is_honest_and_reaches_the_floor(tmp_path: Path) -> None:
    recipe = override(BIKE, [*SMALL, "candidates=random-forest"])
    dataset = extract(recipe, data=None, data_dir=real_data(), workdir=tmp_path)

    table = validate(recipe, dataset)
    split = split_rows(recipe, table)
    fitted = train(recipe, recipe.candidates[0], split, lambda _done, _total: None)

    assert evaluate(recipe, fitted, split).metrics["r2"] >= recipe.floors["r2"]


def test_the_first_year_of_the_real_data_alone_passes() -> None:
    frame = pd.read_csv(real_data() / BIKE.data_file)
    first_year = frame[frame["yr"] == 0].astype(dict.fromkeys(BIKE.feature_names, float))

    assert find_data_problems(BIKE, first_year) == []

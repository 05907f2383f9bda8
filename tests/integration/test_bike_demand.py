"""The recipe bike-demand on its real data, through the whole stack: trained, served, and bad trainings refused."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slipway_core.bundle import MANIFEST_FILE
from slipway_core.graph import Graph
from slipway_core.manifest import MODEL_FILE, Manifest
from slipway_core.registry.gate_result import gate_result_of
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_trainer.recipes import find_recipe
from support.stack import PASSWORD, RunningStack, slipway_up

pytestmark = pytest.mark.slow

NAME = "bike-demand"
RECIPE = find_recipe(NAME)
FILE = Path(os.environ.get("SLIPWAY_DATA_DIR", "data")).absolute() / RECIPE.data_file


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    if not FILE.is_file():
        pytest.skip(f"the bike sharing data is not here: SLIPWAY_DATA_DIR holds no {RECIPE.data_file}")
    return pd.read_csv(FILE)


@pytest.fixture(scope="module")
def stack(data: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("bikes") / "home"
    environment = {"SLIPWAY_DATA_DIR": str(FILE.parents[1])}
    with slipway_up(home, f"--recipe={NAME}", password=PASSWORD, environment=environment) as running_stack:
        yield running_stack


def train(stack: RunningStack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "slipway_cli.cli", "train", NAME, *arguments],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": stack.mlflow_url,
            "SLIPWAY_DATA_DIR": str(FILE.parents[1]),
            "SLIPWAY_HOME": str(stack.home),
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_model_reaches_its_score_on_held_out_rows(stack: RunningStack) -> None:
    status = stack.call("GET", f"/models/{NAME}").raise_for_status().json()

    assert status["model_version"] == "1"
    assert status["metrics"]["r2"] >= 0.85


def test_served_predictions_equal_the_exported_graph(stack: RunningStack, data: pd.DataFrame, tmp_path: Path) -> None:
    with MlflowRegistry(stack.mlflow_url) as registry:
        version = registry.get_version(NAME, "1")
        for file in (MODEL_FILE, MANIFEST_FILE):
            registry.fetch(version, file, tmp_path / file)
    manifest = Manifest.model_validate_json((tmp_path / MANIFEST_FILE).read_bytes())
    rows = data[RECIPE.feature_names].sample(1_000, random_state=1)

    answer = stack.call("POST", f"/models/{NAME}/predict", {"features": rows.to_numpy().tolist()}).json()

    graph = Graph((tmp_path / MODEL_FILE).read_bytes(), manifest.graph)
    expected = graph.run(rows.to_numpy(dtype=np.float32)).prediction
    np.testing.assert_allclose(answer["prediction"], expected, rtol=1e-5)
    assert "label" not in answer
    assert "probabilities" not in answer


def test_row_by_name_gives_one_number(stack: RunningStack, data: pd.DataFrame) -> None:
    row = data[RECIPE.feature_names].iloc[17].to_dict()

    answer = stack.call("POST", "/predict", {"features": {name: float(row[name]) for name in reversed(row)}}).json()

    assert answer["model"] == NAME
    assert len(answer["prediction"]) == 1
    assert answer["prediction"][0] == pytest.approx(data["cnt"].iloc[17], abs=100)


def shuffled(data: pd.DataFrame) -> pd.DataFrame:
    rentals = data.drop(columns=["casual", "registered"])
    return rentals.assign(cnt=np.random.default_rng(3).permutation(rentals["cnt"]))


BAD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "shuffled targets": (shuffled, "the features hardly predict the target 'cnt'"),
    "a missing column": (lambda data: data.drop(columns="hum"), "the column 'hum' is missing"),
    "a leaked target": (lambda data: data.assign(temp=data["cnt"] / 1000), "'temp' alone predicts the target 'cnt'"),
    "a constant feature": (lambda data: data.assign(windspeed=0.2), "'windspeed' is 0.2 in every row"),
    "ten rows": (lambda data: data.head(10), "the data has 10 rows, fewer than min_rows 500"),
    "an hour of 24": (
        lambda data: data.assign(hr=data["hr"] + 1),
        "'hr' must be one of 0 to 23, got 24 in lines 25, 48,",
    ),
}


def refused(stack: RunningStack, *arguments: str) -> str:
    """Train; return the output, after a check that version 1 is still served."""
    ended = train(stack, *arguments)

    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert stack.call("GET", f"/models/{NAME}").json()["model_version"] == "1"
    return ended.stdout + ended.stderr


def versions(stack: RunningStack) -> int:
    with MlflowRegistry(stack.mlflow_url) as registry:
        return len(registry.list_versions(NAME))


@pytest.mark.parametrize("bad", BAD)
def test_bad_data_is_rejected_with_its_reason(
    stack: RunningStack, data: pd.DataFrame, bad: str, tmp_path: Path
) -> None:
    spoil, reason = BAD[bad]
    spoil(data).to_csv(tmp_path / "bad.csv", index=False)
    before = versions(stack)

    told = refused(stack, "--data", str(tmp_path / "bad.csv"))

    assert "the data was rejected, and no version was registered" in told
    assert reason in told
    assert versions(stack) == before


def test_truncated_file_is_rejected_with_its_last_line(stack: RunningStack, tmp_path: Path) -> None:
    content = FILE.read_bytes()
    (tmp_path / "cut.csv").write_bytes(content[: len(content) // 2])

    assert "is truncated: its last line, 6127, has" in refused(stack, "--data", str(tmp_path / "cut.csv"))


def test_slightly_worse_model_is_rejected_by_the_gate(stack: RunningStack) -> None:
    # The champion's parameters, but fewer trees.
    told = refused(
        stack, *("--set", "candidates=hist-gradient-boosting", "--set", "max_leaf_nodes=31", "--set", "max_iter=150")
    )

    assert "is worse than Production's" in told
    with MlflowRegistry(stack.mlflow_url) as registry:
        newest = registry.list_versions(NAME)[0]
    gate_result = gate_result_of(newest.tags)
    assert gate_result is not None
    assert not gate_result.passed
    (reason,) = [check.reason for check in gate_result.checks if not check.passed]
    assert reason in told

"""A CSV file trained by one command: with a real MLflow server, and on the embedded stack up to the printed request."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_core.registry import PRODUCTION
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_trainer.cli import main
from support.churn import churn_csv
from support.command import run
from support.stack import PASSWORD, RunningStack, bash, printed_commands, slipway_up
from support.waiting import wait_for

# MLflow warns of its own types when it first imports its model flavors.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")]

LIGHT = ("--set", "candidates=logistic-regression", "--set", "folds=2")
SERVED_SECONDS = 5.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data in a folder of its own."""
    file = tmp_path / "churn.csv"
    file.write_bytes(churn_csv())
    return file


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    with slipway_up(tmp_path / "home", password=PASSWORD) as running_stack:
        yield running_stack


def test_printed_commands_work_on_the_embedded_stack(stack: RunningStack, data: Path) -> None:
    slipway = f"{sys.executable} -m slipway_cli.cli"
    environment = f"export SLIPWAY_HOME={stack.home} MLFLOW_TRACKING_URI={stack.mlflow_url}\n"

    output = bash(f"{environment}{slipway} train churn.csv --target churned", data.parent)

    wait_for(lambda: stack.call("GET", "/models/churn").is_success, seconds=SERVED_SECONDS, what="the new model")
    answer = json.loads(bash(printed_commands(output), data.parent))
    assert (answer["model"], answer["version"]) == ("churn", "1")
    assert answer["label"][0] in {"yes", "no"}
    login, predict = (line.strip() for line in output.splitlines() if line.startswith("  slipway "))
    password = f"{login} --password-stdin < {stack.home}/admin-password".replace("slipway login", f"{slipway} login")
    bash(f"{environment}{password}\n{predict.replace('slipway predict', f'{slipway} predict')}", data.parent)
    predictions = (data.parent / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert len(predictions) == len(churn_csv().splitlines())
    assert predictions[0].endswith(",prediction,label,probability_no,probability_yes")


def test_csv_file_is_trained_and_promoted(data: Path, mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)

    ended = run(main, "train", str(data), "--target", "churned", "--name", "churn-csv", *LIGHT)

    assert (ended.exit_code, ended.error) == (0, "")
    assert f"recipe    wrote {data.with_name('churn_csv.py')}: 9 features" in ended.output
    assert "Production of churn-csv is now version 1" in ended.output
    assert "http://127.0.0.1:8000/models/churn-csv/predict" in ended.output
    with MlflowRegistry(mlflow_url) as registry:
        assert registry.get_model("churn-csv").aliases[PRODUCTION] == "1"

    again = run(main, "train", str(data), "--target", "churned", "--name", "churn-csv", "--promote", "never", *LIGHT)

    assert "uses the existing" in again.output
    assert "Request a prediction" not in again.output


def test_container_prints_how_to_keep_the_recipe(data: Path, mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    monkeypatch.setenv("SLIPWAY_DATA_DIR", "/data")

    ended = run(main, "train", str(data), "--target", "churned", "--name", "in-container", "--promote", "never", *LIGHT)

    command = f"recipe new --data {data} --target churned --name in-container --output - > in_container.py"
    assert f"docker compose run --rm trainer {command}" in ended.output

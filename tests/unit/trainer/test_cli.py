"""`slipway-trainer`: errors that it reports in one sentence before it trains."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from slipway_core.current_user import current_user
from slipway_trainer.cli import main
from support.bike import bike_frame
from support.command import run
from support.iris import iris_dataset
from support.servers import free_port
from support.stub_api import Answer, StubApi, problem, stub_api


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    """An empty registry at the address in MLFLOW_TRACKING_URI."""
    with stub_api(lambda _asked: Answer({})) as stub:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stub.url)
        yield stub


def refusal(*arguments: str) -> str:
    """Run the command, check that it ends with 1 and one sentence, and return the sentence."""
    ended = run(main, *arguments)
    assert ended.exit_code == 1
    assert ended.error.startswith("Error: ")
    assert len(ended.error.splitlines()) == 1
    return ended.error


def test_missing_tracking_server_is_reported_with_its_variable() -> None:
    assert re.search(r"MLFLOW_TRACKING_URI is not set\. .*http://127\.0\.0\.1:5000\.", refusal("train", "iris"))


@pytest.mark.parametrize("uri", ["127.0.0.1:5000", "mlruns", "sqlite:///mlflow.db", "http://127.0.0.1:port"])
def test_invalid_address_is_reported(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    refusal("train", "iris")


def test_unreachable_server_is_reported_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    ended = run(main, "train", "iris")

    assert (ended.exit_code, ended.output) == (1, "")
    assert ended.error.startswith("Error: the model registry cannot be reached: check that the MLflow server runs")


def test_server_still_unreachable_after_the_wait_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    ended = run(main, "train", "iris", "--wait", "0.2", "--set", "candidates=logistic-regression", "--set", "C=1")

    assert ended.exit_code == 1
    assert "evaluate  logistic-regression is the only candidate" in ended.output
    assert "register" not in ended.output
    assert ended.error.startswith("Error: the model registry cannot be reached: check that the MLflow server runs")


def test_wrong_password_is_reported_at_once(registry: StubApi) -> None:
    registry.answer = lambda _asked: problem(401, "no")

    assert "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in refusal("train", "iris")


def test_password_in_a_file_is_sent_to_the_server(
    registry: StubApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("secret\n")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "password"))

    run(main, "train", "tulip")

    assert registry.asked[0].headers["Authorization"] == "Basic YWRhOnNlY3JldA=="


def test_data_in_the_data_folder_is_checked(registry: StubApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "iris.csv").write_text("a,b\n1,2\n")
    monkeypatch.setenv("SLIPWAY_DATA_DIR", str(tmp_path))

    ended = run(main, "train", "iris")

    assert ended.exit_code == 1
    assert "'species' are missing; the file has a, b; add " in ended.error


def test_misspelled_variable_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_DATADIR", "data")

    assert "did you mean SLIPWAY_DATA_DIR?" in refusal("train", "iris")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("train",),
        ("bogus",),
        ("train", "iris", "--wait", "-1"),
        ("train", "iris", "--promote", "maybe"),
        ("train", "iris", "--set"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(main, *arguments).exit_code == 2


def test_module_runs_the_same_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "slipway_trainer", "train", "iris"], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: MLFLOW_TRACKING_URI is not set")


def test_run_has_the_name_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")

    assert current_user() == "ada"


def test_user_without_a_name_is_identified_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # as in a container that is run as any user

    assert current_user() == "uid 54321"


@pytest.mark.parametrize("setting", ["bogus=1", "seed", "folds=1", "candidates=tulip"])
def test_invalid_override_is_a_usage_error(registry: StubApi, setting: str) -> None:
    ended = run(main, "train", "iris", "--set", setting)

    assert (ended.exit_code, ended.output) == (2, "")
    assert "--set" in ended.error
    assert "Traceback" not in ended.error


def test_recipes_lists_names_and_titles() -> None:
    ended = run(main, "recipes")

    assert (ended.exit_code, ended.error) == (0, "")
    assert ended.output.splitlines() == [
        "bike-demand      Bike rentals per hour by calendar and weather",
        "fraud            Fraud among card payments, a rare class",
        "iris             Iris species from the measurements of a flower",
        "penguins         Penguin species from measurements, island and sex",
    ]


# Rejected data of both recipes, as printed to the terminal. test_data_checks and test_schema cover each check.

FRAMES = {"iris": iris_dataset().frame, "bike-demand": bike_frame().drop(columns=["casual", "registered"])}
TARGETS = {"iris": "species", "bike-demand": "cnt"}
FEATURES = {"iris": "sepal width (cm)", "bike-demand": "windspeed"}


def spoiled(recipe: str, how: str) -> str:
    """Return a recipe's data as CSV, spoiled in one way."""
    frame, target, feature = FRAMES[recipe], TARGETS[recipe], FEATURES[recipe]
    numbers = pd.factorize(frame[target])[0] if recipe == "iris" else frame[target] / 500
    changed: str = {
        "shuffled targets": frame.assign(**{target: frame[target].sample(frac=1, random_state=1).to_numpy()}),
        "a missing column": frame.drop(columns=feature),
        "a leaked target": frame.assign(**{feature: numbers}),
        "a copied target": frame.assign(answer=frame[target]),
        "a constant feature": frame.assign(**{feature: 1.0}),
        "ten rows": frame.head(10),
        "a truncated file": frame,
    }[how].to_csv(index=False)
    return changed[: len(changed) * 2 // 3].rpartition(",")[0] if how == "a truncated file" else changed


@pytest.mark.parametrize("recipe", FRAMES)
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("shuffled targets", "the features hardly predict the target"),
        ("a truncated file", "is truncated: its last line, "),
        ("a missing column", "is missing; the file has "),
        ("a leaked target", " alone predicts the target "),
        ("a copied target", "the column 'answer' is a copy of the target "),
        ("a constant feature", "is 1 in every row, so it has no information"),
        ("ten rows", "the data has 10 rows, fewer than min_rows "),
    ],
)
def test_rejected_data_leaves_the_registry_unchanged(
    registry: StubApi, tmp_path: Path, recipe: str, how: str, reason: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_text(spoiled(recipe, how))

    ended = run(main, "train", recipe, "--data", str(data))

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: the data was rejected, and no version was registered:")
    assert reason in ended.error
    assert {asked.method for asked in registry.asked} <= {"GET"}

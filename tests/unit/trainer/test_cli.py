"""`slipway-trainer`: what it refuses before it trains, in one sentence."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_trainer.cli import _user, main
from slipway_trainer.recipes import RECIPES
from slipway_trainer.recipes.iris import IRIS
from support.command import run
from support.servers import free_port
from support.stub_api import Answer, StubApi, problem, stub_api


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    """A registry that answers that it is empty, and that the environment names."""
    with stub_api(lambda _asked: Answer({})) as stub:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stub.url)
        yield stub


def refusal(*arguments: str) -> str:
    """Run the command, which must end with 1 and one sentence, and return the sentence."""
    ended = run(main, *arguments)
    assert ended.exit_code == 1
    assert ended.error.startswith("Error: ")
    assert len(ended.error.splitlines()) == 1
    return ended.error


def test_without_a_tracking_server_one_is_told_which_variable_names_it() -> None:
    assert re.search(r"MLFLOW_TRACKING_URI is not set\. .*http://127\.0\.0\.1:5000\.", refusal("train", "iris"))


@pytest.mark.parametrize("uri", ["127.0.0.1:5000", "mlruns", "sqlite:///mlflow.db", "http://127.0.0.1:port"])
def test_an_address_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    refusal("train", "iris")


def test_a_server_that_cannot_be_reached_is_told_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    ended = run(main, "train", "iris")

    assert (ended.exit_code, ended.output) == (1, "")
    assert ended.error == "Error: the model registry cannot be reached\n"


def test_a_server_that_is_waited_for_in_vain_is_told_after_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setitem(RECIPES, "iris", IRIS.model_copy(update={"candidates": IRIS.candidates[:1], "folds": 2}))

    ended = run(main, "train", "iris", "--wait", "0.2")

    assert ended.exit_code == 1
    assert "evaluate: logistic-regression is the best of 1" in ended.output
    assert "register" not in ended.output
    assert ended.error == "Error: the model registry cannot be reached\n"


def test_a_password_that_is_wrong_is_told_at_once(registry: StubApi) -> None:
    registry.answer = lambda _asked: problem(401, "no")

    assert "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in refusal("train", "iris")


def test_the_password_of_a_file_is_sent_to_the_server(
    registry: StubApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("secret\n")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "password"))

    run(main, "train", "tulip")

    assert registry.asked[0].headers["Authorization"] == "Basic YWRhOnNlY3JldA=="


def test_an_unknown_recipe_is_told_with_those_there_are(registry: StubApi) -> None:
    assert re.fullmatch(r"Error: there is no recipe 'tulip'; there is .*iris.*\n", refusal("train", "tulip"))


def test_a_file_that_is_missing_is_told(registry: StubApi, tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"

    assert refusal("train", "iris", "--data", str(missing)) == (
        "Error: the data was refused, nothing is registered: "
        f"{missing} is not a file; give the path of a CSV file with --data\n"
    )


def test_data_in_the_data_folder_is_taken_and_refused(
    registry: StubApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "iris.csv").write_text("a,b\n1,2\n")
    monkeypatch.setenv("SLIPWAY_DATA_DIR", str(tmp_path))

    assert "the column 'species' is missing" in refusal("train", "iris")


def test_a_misspelt_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_DATADIR", "data")

    assert "did you mean SLIPWAY_DATA_DIR?" in refusal("train", "iris")


@pytest.mark.parametrize("arguments", [(), ("train",), ("bogus",), ("train", "iris", "--wait", "-1")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(main, *arguments).exit_code == 2


def test_as_a_module_it_is_the_same_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "slipway_trainer", "train", "iris"], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: MLFLOW_TRACKING_URI is not set")


def test_whoever_trains_is_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")

    assert _user() == "ada"


def test_a_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # as in a container that is run as any user

    assert _user() == "uid 54321"

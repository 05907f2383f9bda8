"""`slipway train`: it passes its arguments to the trainer, and returns its exit code."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway_cli.cli import main
from slipway_cli.commands.trainer_process import trainer_command
from slipway_cli.embedded.home import Home, Ports
from support.command import run

TOLD = "the trainer is not installed here: run `pip install 'slipway[trainer]'`"
FAKE = """
import json, os, sys
from pathlib import Path
Path(os.environ["TOLD_TO"]).write_text(json.dumps(sys.argv[1:]))
raise SystemExit(int(os.environ["END_WITH"]))
"""


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Install a fake trainer that writes its arguments to a file and ends with an exit code."""

    def install(exit_code: int) -> Path:
        package = tmp_path / "path" / "slipway_trainer"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(FAKE)
        monkeypatch.setenv("PYTHONPATH", str(package.parent))
        monkeypatch.setenv("TOLD_TO", str(tmp_path / "told"))
        monkeypatch.setenv("END_WITH", str(exit_code))
        return tmp_path / "told"

    return install


@pytest.mark.parametrize(
    ("typed", "passed_on"),
    [
        (["iris"], ["train", "iris"]),
        (["iris", "--data", "my data.csv"], ["train", "iris", "--data", "my data.csv"]),
        (["no such; recipe"], ["train", "no such; recipe"]),
        (["iris", "--promote", "never"], ["train", "iris", "--promote", "never"]),
        (
            ["iris", "--set", "seed=7", "--set", "random-forest.max_depth=8"],
            ["train", "iris", "--set", "seed=7", "--set", "random-forest.max_depth=8"],
        ),
        (
            ["my.csv", "--target", "left it", "--name", "churn"],
            ["train", "my.csv", "--target", "left it", "--name", "churn"],
        ),
    ],
)
def test_the_arguments_are_passed_on(trainer: Callable[[int], Path], typed: list[str], passed_on: list[str]) -> None:
    told = trainer(0)

    ended = run(main, "train", *typed)

    assert ended.exit_code == 0
    assert json.loads(told.read_text()) == ["--called-as", "slipway", *passed_on]


@pytest.mark.parametrize(
    "typed",
    [
        ["churn", "--model", "models:/their model/3"],
        ["churn", "--onnx", "a b.onnx", "--data", "rows.csv", "--target", "left it", "--metric", "f1"],
        [
            "churn",
            "--model",
            "runs:/1/m",
            "--floor",
            "f1=0.8",
            "--floor",
            "accuracy=0.9",
            "--promote",
            "never",
            "--trust",
        ],
    ],
)
def test_arguments_of_a_registration_are_passed_on(trainer: Callable[[int], Path], typed: list[str]) -> None:
    told = trainer(3)

    assert run(main, "register", *typed).exit_code == 3
    assert json.loads(told.read_text()) == ["--called-as", "slipway", "register", *typed]


@pytest.mark.parametrize("exit_code", [0, 1, 3])
def test_the_exit_code_is_passed_through(trainer: Callable[[int], Path], exit_code: int) -> None:
    trainer(exit_code)

    assert run(main, "train", "iris").exit_code == exit_code


@pytest.mark.parametrize("missing", ["slipway_trainer", "mlflow", "sklearn"])
def test_missing_trainer_is_reported(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)

    ended = run(main, "train", "iris")

    assert (ended.exit_code, ended.error) == (1, f"Error: {TOLD}\n")


def test_the_command_uses_the_same_python() -> None:
    assert trainer_command("train", "iris")[:3] == [sys.executable, "-m", "slipway_trainer"]


def test_wrong_usage_is_reported_for_slipway_train() -> None:
    called = trainer_command("train", "iris", "--no-such-option")

    ended = subprocess.run(called, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "Usage: slipway train" in ended.stderr
    assert "slipway-trainer" not in ended.stderr


def test_recipes_are_listed_as_json_and_as_a_table() -> None:
    found = json.loads(run(main, "recipes", "--json").output)

    assert [recipe["name"] for recipe in found] == ["bike-demand", "fraud", "iris", "penguins"]
    assert found[2] == {
        "name": "iris",
        "title": "Iris species from the measurements of a flower",
        "task": "classification",
        "data": "iris.csv",
        "candidates": ["logistic-regression", "random-forest", "gradient-boosting"],
        "metric": "accuracy",
    }


def test_recipes_returns_the_exit_code_of_the_trainer(trainer: Callable[[int], Path]) -> None:
    trainer(3)

    assert run(main, "recipes").exit_code == 3


def test_recipes_without_the_trainer_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slipway_trainer", None)

    assert run(main, "recipes").error == f"Error: {TOLD}\n"


def test_arguments_of_a_new_recipe_are_passed_on(trainer: Callable[[int], Path]) -> None:
    told = trainer(3)
    options = ["--data", "my.csv", "--target", "left it", "--name", "churn", "--output", "-"]

    assert run(main, "recipe", "new", *options).exit_code == 3
    assert json.loads(told.read_text()) == ["--called-as", "slipway", "recipe", "new", *options]


def test_password_file_of_the_embedded_stack_is_passed_on(
    trainer: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = trainer(0)
    home = Home(tmp_path / "home")
    home.make()
    monkeypatch.setenv("SLIPWAY_HOME", str(home.root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5050")

    with home.locked(Ports(8080, 5050)):
        run(main, "train", "my.csv", "--target", "y")

    assert json.loads(told.read_text())[-2:] == ["--password-file", str(home.password_file)]

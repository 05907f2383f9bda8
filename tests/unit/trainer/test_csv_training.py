"""`slipway-trainer` with a CSV file: options, the written recipe, and the commands that it prints."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from slipway_trainer.cli import main
from slipway_trainer.first_request import example_row, next_steps
from slipway_trainer.inference.files import recipe_for
from slipway_trainer.inference.reading import infer_recipe
from slipway_trainer.inference.writing import source_of
from slipway_trainer.recipes import Recipe, find_recipe
from slipway_trainer.settings import TrainerSettings
from support.churn import churn_csv
from support.command import run
from support.servers import free_port


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data in a folder of its own."""
    file = tmp_path / "churn.csv"
    file.write_bytes(churn_csv())
    return file


def recipe_of(content: bytes, folder: Path) -> Recipe:
    (folder / "r.py").write_text(source_of(infer_recipe(content, "r.csv", "y", "r")), encoding="utf-8")
    return find_recipe(str(folder / "r.py"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("churn.csv",), "name the column of churn.csv to predict, such as --target churned"),
        (("iris", "--target", "species"), "it requires a CSV file, as in `slipway train churn.csv --target churned`"),
        (("iris", "--name", "tulip"), "it requires a CSV file"),
        (("churn.csv", "--target", "churned", "--data", "other.csv"), "the data is churn.csv; remove this option"),
    ],
)
def test_options_that_do_not_belong_together_are_usage_errors(arguments: tuple[str, ...], sentence: str) -> None:
    ended = run(main, "train", *arguments)

    assert (ended.exit_code, ended.output) == (2, "")
    assert sentence in ended.error


def test_recipe_new_writes_the_recipe_of_a_training(data: Path) -> None:
    ended = run(main, "recipe", "new", "--data", str(data), "--target", "churned")

    assert (ended.exit_code, ended.error) == (0, "")
    assert f"Wrote {data.with_suffix('.py')}: 9 features" in ended.output
    assert f"slipway train {data.with_suffix('.py')} --data {data}" in ended.output
    assert recipe_for(str(data), data.read_bytes(), "churned", None)[1].startswith("uses the existing ")


def test_recipe_new_prints_to_standard_output(data: Path) -> None:
    ended = run(main, "recipe", "new", "--data", str(data), "--target", "churned", "--name", "my", "--output", "-")

    assert (ended.exit_code, ended.error) == (0, "")
    assert ended.output == source_of(infer_recipe(churn_csv(), "churn.csv", "churned", "my"))
    assert list(data.parent.glob("*.py")) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--target", "churnd"), "Error: the data was rejected, .*did you mean 'churned'"),
        (("--target", "churned", "--name", "iris"), "Error: the name 'iris' belongs to one of Slipway's recipes"),
        (("--target", "churned", "--output", "churn.csv"), "Error: churn.csv already exists; choose another file"),
    ],
)
def test_recipe_new_reports_errors(
    data: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(data.parent)

    ended = run(main, "recipe", "new", "--data", "churn.csv", *arguments)

    assert ended.exit_code == 1
    assert re.search(sentence, ended.error)
    assert data.read_bytes() == churn_csv()


def test_unreachable_registry_is_reported_before_the_recipe_is_written(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    ended = run(main, "train", str(data), "--target", "churned")

    assert ended.exit_code == 1
    assert "the model registry cannot be reached" in ended.error
    assert not data.with_suffix(".py").exists()


def test_row_is_printed_with_the_types_of_the_columns(tmp_path: Path) -> None:
    values = [
        (n % 7, n % 3 / 2, "ab"[n % 2], n % 5 > 2, f"2026-11-{n % 9 + 10}", "xyz"[n % 3], n % 2) for n in range(40)
    ]
    rows = "\n".join(",".join(map(str, row)) for row in values)
    content = f"i,f,t,b,d,gap,y\n3,,it's,true,2026-11-21,?,1\n{rows}\n".encode()

    row = json.loads(example_row(recipe_of(content, tmp_path), content))

    assert row == {"i": 3, "f": None, "t": "it's", "b": True, "d": "2026-11-21", "gap": None}


@pytest.mark.parametrize(
    ("settings", "password_file", "expected"),
    [
        (
            {},
            None,
            (
                "The address of the API is unknown, so these commands assume http://127.0.0.1:8000.",
                "http://127.0.0.1:8000/token -d username=admin",
                "  read -rs PASSWORD\n",
                "--csv 'my r.csv'",
            ),
        ),
        ({"url": "http://host:1/"}, "/a b/p", ("http://host:1/models/r/predict", "tr -d '\\n' < '/a b/p' | curl")),
        (
            {"url": "https://ml.example.com:443", "data_dir": "/data", "admin_username": "ada"},
            None,
            ("docker compose exec -T api cat /run/slipway/admin-password", "username=ada", "--csv 'my r.csv'"),
        ),
    ],
)
def test_printed_commands_fit_the_stack(
    tmp_path: Path, settings: dict[str, str], password_file: str | None, expected: tuple[str, ...]
) -> None:
    content = ("x,t,y\n" + "".join(f"{n % 7 / 2},{'ab'[n % 2]}'s,{n % 2}\n" for n in range(40))).encode()
    own = TrainerSettings.model_validate({"mlflow_tracking_uri": "http://127.0.0.1:5000", **settings})

    recipe = recipe_of(content, tmp_path)
    text = next_steps(own, recipe.name, example_row(recipe, content), "my r.csv", password_file)

    for part in expected:
        assert part in text
    assert ("is unknown" in text) == ("url" not in settings)
    script = re.sub(r"^\S.*$", "", text, flags=re.MULTILINE)
    subprocess.run(["bash", "-nc", script], check=True)

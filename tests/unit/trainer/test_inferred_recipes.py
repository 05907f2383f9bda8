"""Inferred recipes: readable files that the loader accepts, and that train to a graph like the estimator."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from slipway_core.errors import ConfigurationError
from slipway_core.graph import Graph
from slipway_trainer.errors import DataUnavailableError, UnknownRecipeError
from slipway_trainer.inference.files import default_path, name_of, read_data, recipe_for, write_new
from slipway_trainer.inference.reading import infer_recipe
from slipway_trainer.inference.writing import source_of
from slipway_trainer.recipes import Recipe, find_recipe
from slipway_trainer.steps.evaluate import evaluate
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate
from support.churn import CONTRACTS, PAYMENTS, ZIP_CODES, churn_csv

ROOT = Path(__file__).parents[3]
# Names that no identifier, comment or literal can hold as they are, and those of the graph's own tensors.
STRANGE = ("size (cm)", 'a "b"', "it's", "new\nline", '"""\nraise SystemExit', "# é", "a,b", "a_b", "a b", "label", "X")


def table(task: str, rows: int = 300, /, **columns: Any) -> bytes:  # columns of numbers or text
    """Return a CSV file with a feature that predicts the target."""
    random = np.random.default_rng(3)
    x = random.normal(size=rows).round(3)
    noisy = x + random.normal(scale=0.3, size=rows)
    target = {
        "binary": noisy > 0,
        "rare": noisy > np.quantile(noisy, 0.95),
        "classes": np.digitize(noisy, [-0.5, 0.5]),
        "values": noisy.round(3),
    }[task]
    text: str = pd.DataFrame({"x": x, **columns, "target": target}).to_csv(index=False, lineterminator="\n")
    return text.encode()


def gaps(rows: int = 300) -> Any:
    return [None if number % 7 == 0 else number % 5 / 2 for number in range(rows)]


def texts(rows: int = 300) -> list[str]:
    return ["abc"[number % 3] for number in range(rows)]


FILES = {
    "churn": (churn_csv(), "churned"),
    "only floats": (table("binary", other=[number % 7 / 2 for number in range(300)]), "target"),
    "floats with gaps": (table("classes", other=gaps()), "target"),
    "a rare class": (table("rare", 1_000, group=texts(1_000)), "target"),
    "a regression": (table("values", group=texts(), other=gaps()), "target"),
    "strange names": (
        table("binary", **{name: (texts(), gaps())[index % 2] for index, name in enumerate(STRANGE)}),
        "target",
    ),
}
EVERY_FILE = pytest.mark.parametrize("file", FILES)


def written(folder: Path, file: str) -> tuple[Recipe, str]:
    """Write the data and its inferred recipe into a folder; return the loaded recipe and its source."""
    content, target = FILES[file]
    (folder / "my.csv").write_bytes(content)
    source = source_of(infer_recipe(content, "my.csv", target, "my"))
    (folder / "my.py").write_text(source, encoding="utf-8")
    return find_recipe(str(folder / "my.py")), source


@EVERY_FILE
def test_inferred_recipe_trains_as_it_is(tmp_path: Path, file: str) -> None:
    recipe = written(tmp_path, file)[0].model_copy(update={"folds": 2})
    dataset = extract(recipe, data=tmp_path / "my.csv", data_dir=tmp_path, workdir=tmp_path / "work")
    split = split_rows(recipe, validate(recipe, dataset))

    for candidate in recipe.candidates:
        with threadpool_limits(1):
            fitted = train(recipe, candidate, split, lambda _done, _total: None)
        # Raises an error if the graph and the estimator differ.
        evaluation = evaluate(recipe, fitted, split)
        assert Graph(evaluation.model, evaluation.names)
        assert recipe.metric in evaluation.metrics


@EVERY_FILE
def test_source_is_formatted(tmp_path: Path, file: str) -> None:
    _, source = written(tmp_path, file)

    for command in ("format", "check --select=E,F,I,W"):
        name, *options = command.split()
        arguments = [sys.executable, "-m", "ruff", name, *options, *(["--diff"] if name == "format" else []), "-"]
        ended = subprocess.run(
            [*arguments, f"--config={ROOT / 'pyproject.toml'}"],
            input=source,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout.replace("All checks passed!\n", "")) == (0, ""), ended.stderr


def test_recipe_of_the_churn_data_has_the_inferred_values(tmp_path: Path) -> None:
    recipe, source = written(tmp_path, "churn")
    columns = {column.name: column for column in recipe.columns}

    assert {name: column.dtype for name, column in columns.items()} == {
        "signup": "date",
        "tenure": "int64",
        "contract": "string",
        "monthly charges (EUR)": "float32",
        "total": "float32",
        "payment": "string",
        "support": "string",
        "paperless": "bool",
        "zip": "string",
    }
    assert [name for name, column in columns.items() if column.nullable] == [
        "monthly charges (EUR)",
        "total",
        "payment",
    ]
    texts = (columns[name].categories for name in ("contract", "payment", "zip"))
    assert list(texts) == [CONTRACTS, PAYMENTS, ZIP_CODES]
    assert columns["signup"].parts == ("year", "month", "day", "weekday")
    assert recipe.ignored == ("customerID", "country", "comment")
    assert recipe.missing_values == ("", "NA", "NaN", "null", " ")
    assert (recipe.classes, recipe.positive_class, recipe.metric) == (("no", "yes"), "yes", "roc_auc")
    assert (recipe.floors, recipe.split) == ({}, "stratified")
    for comment in ("Inferred from 800 rows of my.csv", "# 0 to 72", "It is 'DE' in every row.", "codes with leading"):
        assert comment in source


def test_rare_class_lowers_the_limit_and_weights_the_classes(tmp_path: Path) -> None:
    content = table("binary", 2_000).replace(b"True\n", b"a\n").replace(b"False\n", b"b\n")
    lines = content.splitlines(keepends=True)
    kept = [line for line in lines if line.endswith(b"b\n")] + [line for line in lines if line.endswith(b"a\n")][:15]
    (tmp_path / "r.py").write_text(source_of(infer_recipe(lines[0] + b"".join(kept), "r.csv", "target", "r")))

    recipe = find_recipe(str(tmp_path / "r.py"))

    assert recipe.positive_class == "a"
    assert 0 < recipe.min_class_share < 15 / len(kept)
    assert {candidate.parameters["class_weight"] for candidate in recipe.candidates} == {"balanced"}


def test_repeated_rows_raise_the_limit(tmp_path: Path) -> None:
    content = table("binary", 100)
    header, *rows = content.splitlines(keepends=True)
    (tmp_path / "r.py").write_text(
        source_of(infer_recipe(header + b"".join([*rows, *rows[:50]]), "r.csv", "target", "r"))
    )

    assert find_recipe(str(tmp_path / "r.py")).max_duplicate_share >= 0.34


def test_recipe_is_written_beside_the_data_and_then_used(tmp_path: Path) -> None:
    (tmp_path / "my-churn.csv").write_bytes(churn_csv())
    data = str(tmp_path / "my-churn.csv")

    path, sentence = recipe_for(data, churn_csv(), "churned", None)

    assert path == tmp_path / "my_churn.py"
    assert find_recipe(str(path)).name == "my-churn"
    assert sentence.startswith(f"wrote {path}: 9 features, a classification with 2 classes of 'churned'; left out ")
    path.write_text(path.read_text().replace("floors={}", 'floors={"roc_auc": 0.9}'))
    edited = path.read_bytes()
    assert recipe_for(data, churn_csv(), "churned", None)[0] == path
    assert path.read_bytes() == edited


def test_model_of_the_registry_is_only_continued_by_name(tmp_path: Path) -> None:
    data, content = str(tmp_path / "churn.csv"), churn_csv()

    with pytest.raises(ConfigurationError, match=r"already has a model 'churn', .* to that model with --name churn"):
        recipe_for(data, content, "churned", None, {"iris", "churn"})

    assert list(tmp_path.iterdir()) == []
    path, _ = recipe_for(data, content, "churned", "churn", {"iris", "churn"})
    assert recipe_for(data, content, "churned", None, {"iris", "churn"})[0] == path


@pytest.mark.parametrize(
    ("existing", "sentence"),
    [
        ("raise SystemExit('a script of mine')", "already exists and is not a recipe; choose another name"),
        (None, "already exists and is a recipe for the target 'churned', not 'support'; choose another name"),
    ],
)
def test_other_file_with_the_name_is_neither_run_nor_replaced(
    tmp_path: Path, existing: str | None, sentence: str
) -> None:
    data = str(tmp_path / "churn.csv")
    if existing is None:
        recipe_for(data, churn_csv(), "churned", None)
    else:
        (tmp_path / "churn.py").write_text(existing)
    before = (tmp_path / "churn.py").read_bytes()

    with pytest.raises(UnknownRecipeError, match=sentence):
        recipe_for(data, churn_csv(), "support", None)

    assert (tmp_path / "churn.py").read_bytes() == before


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    write_new(tmp_path / "r.py", "a")
    write_new(tmp_path / "r.py", "a")

    with pytest.raises(ConfigurationError, match="already exists; choose another file with --output"):
        write_new(tmp_path / "r.py", "b")

    with pytest.raises(ConfigurationError, match="cannot be written: No such file or directory; choose another file"):
        write_new(tmp_path / "missing" / "r.py", "b")


@pytest.mark.parametrize(
    ("writable", "place"), [(("data", "work"), "data/churn.py"), (("work",), "churn.py"), ((), None)]
)
def test_read_only_data_folder_moves_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: tuple[str, ...], place: str | None
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    names = {Path("data"): "data", Path(): "work"}
    # The tests may run as root, who can write everywhere.
    monkeypatch.setattr("os.access", lambda folder, _mode: names[folder] in writable)

    if place is None:
        with pytest.raises(ConfigurationError, match=r"print the recipe with `slipway recipe new --output -`"):
            default_path("data/churn.csv", "churn")
    else:
        assert default_path("data/churn.csv", "churn") == Path(place)


def test_recipe_of_data_in_a_bucket_is_written_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert default_path("s3://bucket/churn.csv", "churn") == Path("churn.py")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("iris", "the name 'iris' belongs to one of Slipway's recipes"), ("A b", "'A b' cannot be the name of a model")],
)
def test_unsuitable_name_is_rejected(name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        name_of("churn.csv", name)


def test_missing_data_is_reported_with_similar_names(tmp_path: Path) -> None:
    (tmp_path / "churn.csv").touch()

    with pytest.raises(DataUnavailableError, match=r"chrun.csv does not exist; did you mean 'churn.csv'\?"):
        read_data(str(tmp_path / "chrun.csv"))
    with pytest.raises(DataUnavailableError, match=r"is a folder; pass the path of the CSV file in it"):
        read_data(str(tmp_path))

"""Recipes: found by name, frozen and consistent."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from slipway_trainer import recipes
from slipway_trainer.errors import UnknownRecipeError
from slipway_trainer.metrics import METRICS
from slipway_trainer.recipes import Recipe, find_recipe, recipe_names
from slipway_trainer.recipes.iris import RECIPE as IRIS
from support.bike import BIKE, trained_bike
from support.fraud import FRAUD
from support.iris import trained_iris

NAMES = recipe_names()
EVERY_RECIPE = pytest.mark.parametrize("recipe", [find_recipe(name) for name in NAMES], ids=NAMES)


@pytest.mark.parametrize("recipe", [IRIS, BIKE], ids=["iris", "bike-demand"])
def test_recipes_are_listed_and_found_by_name(recipe: Recipe) -> None:
    assert recipe.name in NAMES
    assert find_recipe(recipe.name) is recipe


def test_unknown_recipe_is_reported_with_the_known_names() -> None:
    with pytest.raises(UnknownRecipeError, match=r"unknown recipe 'tulip'; the recipes are .*\biris\b"):
        find_recipe("tulip")


@EVERY_RECIPE
def test_metrics_of_the_recipe_are_measured(recipe: Recipe) -> None:
    trained = trained_iris() if recipe.task == "classification" else trained_bike()

    # Iris has no positive class.
    names = {name for name in recipe.deciding_metrics if not METRICS[name].needs_positive_class}

    for evaluation in trained.evaluations.values():
        assert names <= evaluation.metrics.keys()


@pytest.mark.parametrize(
    ("base", "changes", "sentence"),
    [
        (
            FRAUD,
            {"positive_class": None, "metric": "recall"},
            "recall concerns one class: set positive_class to one of fraud, legitimate",
        ),
        (
            FRAUD,
            {"positive_class": None, "metric": "accuracy", "floors": {}},
            "threshold concerns the probability of one class: set positive_class to one of fraud, legitimate",
        ),
        (FRAUD, {"positive_class": "frau"}, "'frau' is not one of the classes; did you mean 'fraud'? they are fraud, "),
        (FRAUD, {"ceilings": {"pinball": 1}}, "'pinball' is not a metric of classification"),
        (FRAUD, {"ceilings": {"recall": 1}}, "a higher recall is better, so its limit is a minimum: use floors.recall"),
        (FRAUD, {"floors": {"brier": 1}}, "a lower brier is better, so its limit is a maximum: use ceilings.brier"),
        (FRAUD, {"classes": ("fraud", "legitimate", "unknown")}, "a threshold requires two classes, but the recipe "),
        (FRAUD, {"quantile": 0.9}, "quantile belongs to regression, for the metric 'pinball'; remove it"),
        (BIKE, {"metric": "pinball"}, "pinball concerns a quantile: set quantile to a number between 0 and 1"),
        (BIKE, {"ceilings": {"pinball": 9}}, "pinball concerns a quantile: set quantile to a number between 0 and 1"),
        (BIKE, {"threshold": 0.5}, "positive_class and threshold belong to classification; remove them"),
        (BIKE, {"positive_class": "high"}, "positive_class and threshold belong to classification; remove them"),
    ],
)
def test_contradictory_metrics_are_rejected(base: Recipe, changes: dict[str, object], sentence: str) -> None:
    fields = {name: getattr(base, name) for name in Recipe.model_fields}

    with pytest.raises(ValidationError, match=re.escape(sentence)):
        Recipe(**{**fields, **changes})


def test_limits_are_floors_or_ceilings_and_one_is_given() -> None:
    fields = {name: getattr(BIKE, name) for name in Recipe.model_fields if name not in {"floors", "ceilings"}}

    only = Recipe(**{**fields, "ceilings": {"mae": 50.0, "pinball": 20.0}, "quantile": 0.9})

    assert only.deciding_metrics == ("r2", "mae", "pinball")
    with pytest.raises(ValidationError, match="needs `floors` or `ceilings`"):
        Recipe(**fields)


@EVERY_RECIPE
def test_every_estimator_is_made_anew_from_its_parameters(recipe: Recipe) -> None:
    for candidate in recipe.candidates:
        first, second = (candidate.build(candidate.parameters, recipe.seed) for _ in range(2))

        assert first is not second
        given = first.get_params()
        found = {name.rpartition("__")[2]: value for name, value in given.items()}
        assert {name: found[name] for name in candidate.parameters} == dict(candidate.parameters)


@EVERY_RECIPE
def test_searched_parameters_exist_on_the_estimator(recipe: Recipe) -> None:
    for candidate in recipe.candidates:
        for name, values in candidate.search.items():
            made = candidate.build({**candidate.parameters, name: values[-1]}, recipe.seed)
            found = {key.rpartition("__")[2]: value for key, value in made.get_params().items()}
            assert found[name] == values[-1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("candidates", ()),
        ("columns", ()),
        ("test_fraction", 0.0),
        ("test_fraction", 1.0),
        ("folds", 1),
        ("seed", 2**32),
        ("name", "A/B"),
    ],
)
def test_invalid_field_of_a_recipe_is_rejected(field: str, value: object) -> None:
    fields = {name: getattr(IRIS, name) for name in Recipe.model_fields}

    with pytest.raises(ValidationError) as caught:
        Recipe(**{**fields, field: value})

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metric": "r2"}, "'r2' is not a metric of classification; the metrics are accuracy"),
        ({"floors": {"luck": 1}}, "'luck' is not a metric of classification"),
        ({"classes": ("one",)}, "a classifier needs two or more `classes`, and a regressor none"),
        ({"task": "regression", "metric": "r2", "floors": {}}, "a classifier needs two or more `classes`"),
        ({"split": "time"}, "the split 'time' requires time_columns, but the recipe has none"),
        ({"columns": IRIS.columns * 2}, "two columns have the same name"),
        ({"target": IRIS.columns[0]}, "two columns have the same name"),
        ({"candidates": IRIS.candidates[:1] * 2}, "two candidates have the same name"),
        (
            {"candidates": (IRIS.candidates[0].model_copy(update={"name": "my forest"}),), "register_all": True},
            "register_all needs candidates with names of letters",
        ),
    ],
)
def test_contradictory_recipe_is_rejected(changes: dict[str, object], sentence: str) -> None:
    fields = {name: getattr(IRIS, name) for name in Recipe.model_fields}

    with pytest.raises(ValidationError, match=re.escape(sentence)):
        Recipe(**{**fields, **changes})


def test_a_recipe_is_found_by_the_path_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "my_flowers.py"
    file.write_text(
        "from slipway_trainer.recipes.iris import RECIPE as IRIS\n"
        'RECIPE = IRIS.model_copy(update={"name": "my-flowers"})\n'
    )

    assert find_recipe(str(file)).name == "my-flowers"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is not a file; pass the path of the recipe's Python file"),
        ("", "defines no recipe: it must contain RECIPE = Recipe(…)"),
        ("RECIPE = 'iris'", "defines no recipe: it must contain RECIPE = Recipe(…)"),
        ("RECIPE = (", "cannot be used: SyntaxError: '(' was never closed"),
        ("import no_such_package", "cannot be used (line 1): ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "cannot be used (line 1): ZeroDivisionError: division by zero"),
    ],
)
def test_file_without_a_recipe_is_reported(tmp_path: Path, content: str | None, sentence: str) -> None:
    file = tmp_path / "mine.py"
    if content is not None:
        file.write_text(content)

    with pytest.raises(UnknownRecipeError) as caught:
        find_recipe(str(file))

    assert str(caught.value).startswith(f"{file} {sentence}")


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        IRIS.seed = 1  # type: ignore[misc]


MINE = """
from slipway_trainer.recipes import Candidate, Column, Recipe
from slipway_trainer.recipes.iris import RECIPE as IRIS

FIELDS = {name: getattr(IRIS, name) for name in Recipe.model_fields}


def recipe(**changes):
    return Recipe(**{key: value for key, value in {**FIELDS, **changes}.items() if value is not None})


"""


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('recipe(split=None, splitt="random")', "Recipe has no field 'splitt'; did you mean 'split'?"),
        ("recipe(minrows=5)", "Recipe has no field 'minrows'; did you mean 'min_rows'?"),
        ("recipe(xyz=5)", "Recipe has no field 'xyz'; its fields are name, title, task, "),
        ("recipe(split=None)", "Recipe needs the field 'split'"),
        ('recipe(split="stratifed")', "Recipe: split must be one of 'stratified', 'random' or 'time', got 'stratifed'"),
        (
            'recipe(name="My Model")',
            "Recipe: name must begin with a lower-case letter or a digit, and hold only these, ",
        ),
        ("recipe(folds=1)", "Recipe: folds must be at least 2, got 1"),
        ("recipe(folds=2.5)", "Recipe: folds must be an integer, got 2.5"),
        ("recipe(columns=())", "Recipe: columns must have at least 1 entry"),
        ("recipe(columns=Column(name='a'))", "Recipe: columns.0 must be a Column"),
        ("recipe(columns=('a',))", "Recipe: columns.0 must be a Column, got 'a'"),
        ("recipe(checks=('a',))", "Recipe: checks.0 must be a Check, got 'a'"),
        ("recipe(fetch='data.csv')", "Recipe: fetch must be a function, got 'data.csv'"),
        ("recipe(floors={'accuracy': 'high'})", "Recipe: floors.accuracy must be a number, got 'high'"),
        ("recipe(metric='acuracy')", "'acuracy' is not a metric of classification; did you mean 'accuracy'?"),
        ("recipe(columns=IRIS.columns * 2)", "two columns have the same name, 'sepal length (cm)'; rename one"),
        (
            "IRIS.model_copy(update={'splitt': 'random'})",
            "TypeError: Recipe has no field 'splitt'; did you mean 'split'?",
        ),
        ("Column(name='a', minimun=1)", "Column has no field 'minimun'; did you mean 'minimum'?"),
        ("Column(unit='cm')", "Column needs the field 'name'"),
        ("Column(name='')", "Column: name must not be empty, got ''"),
        ("Column(name='a', minimum=3, maximum=1)", "the column 'a' has the minimum 3, above its maximum 1"),
        ("Column(name='a', categories=())", "the column 'a' needs at least one category"),
        ("Column(name='a', categories=(1, 1))", "the categories of the column 'a' must differ as float32 numbers"),
        (
            "Column(name='a', categories=(0, 1e400))",
            "the categories of the column 'a' must be finite numbers",
        ),
        ("Column(name='a', categories=(0, 5), maximum=3)", "the categories of the column 'a' must lie within its"),
        (
            "Column(name='a', categories=('red',))",
            "the categories of the column 'a' do not have its type, float32",
        ),
        ("Candidate(name='a')", "Candidate needs the field 'build'"),
        ("Candidate(name='a', bild=print)", "Candidate has no field 'bild'; did you mean 'build'?"),
        (
            "Candidate(name='a', build=print, search={'C': 1.0})",
            "Candidate: search.C must be a tuple, such as (value,)",
        ),
        ("Candidate(name='a', build='LogisticRegression')", "Candidate: build must be a function"),
    ],
)
def test_wrong_constructor_is_reported_in_one_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{MINE}RECIPE = {line}\n")

    with pytest.raises(UnknownRecipeError) as caught:
        find_recipe(str(file))

    told = str(caught.value)
    assert re.match(rf"{re.escape(str(file))} cannot be used \(line \d+\): {re.escape(sentence)}", told)
    assert "pydantic" not in told
    assert "\n" not in told
    assert len(told.removeprefix(str(file))) < 700


def test_the_line_of_a_wrong_constructor_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from slipway_trainer.recipes import Column\n\nRECIPE = Column(\n    nam='a',\n)\n")

    with pytest.raises(UnknownRecipeError, match=r"\(line 3\): Column has no field 'nam'; did you mean 'name'\?$"):
        find_recipe(str(file))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("irsi", "iris"), ("IRIS", "iris"), ("bike_demand", "bike-demand"), ("bikes-demand", "bike-demand")],
)
def test_a_misspelled_recipe_comes_with_a_suggestion(name: str, meant: str) -> None:
    with pytest.raises(UnknownRecipeError, match=f"unknown recipe '{name}'; did you mean '{meant}'\\?"):
        find_recipe(name)


def test_a_broken_recipe_in_the_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wine_quality.py").write_text(f"{MINE}RECIPE = recipe(split=None, splitt='random')\n")
    monkeypatch.setattr(recipes, "__path__", [str(tmp_path), *recipes.__path__])

    with pytest.raises(UnknownRecipeError) as caught:
        find_recipe("wine-quality")

    assert re.search(r"wine_quality\.py cannot be used \(line \d+\): Recipe has no field 'splitt'", str(caught.value))

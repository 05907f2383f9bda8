"""Recipes: found by name, frozen, and consistent in themselves."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from slipway_trainer.errors import UnknownRecipeError
from slipway_trainer.recipes import Recipe, find_recipe, recipe_names
from slipway_trainer.recipes.base import MEASURES
from slipway_trainer.recipes.iris import RECIPE as IRIS
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.validate import validate
from support.bike import trained_bike
from support.iris import trained_iris

NAMES = recipe_names()
EVERY_RECIPE = pytest.mark.parametrize("recipe", [find_recipe(name) for name in NAMES], ids=NAMES)


def test_a_recipe_is_found_by_its_name() -> None:
    assert find_recipe("iris") is IRIS


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(UnknownRecipeError, match=r"there is no recipe 'tulip'; there is .*\biris\b"):
        find_recipe("tulip")


@EVERY_RECIPE
def test_the_candidates_of_a_recipe_have_names_of_their_own(recipe: Recipe) -> None:
    names = [candidate.name for candidate in recipe.candidates]

    assert len(set(names)) == len(names)


@EVERY_RECIPE
def test_the_features_of_a_recipe_have_names_of_their_own(recipe: Recipe) -> None:
    names = [*recipe.feature_names, recipe.target.name]

    assert len(set(names)) == len(names)


@EVERY_RECIPE
def test_what_a_recipe_asks_for_is_measured(recipe: Recipe) -> None:
    trained = trained_iris() if recipe.task == "classification" else trained_bike()

    for evaluation in trained.evaluations.values():
        assert {recipe.metric, *recipe.floors, *MEASURES[recipe.task]} <= evaluation.metrics.keys()


@EVERY_RECIPE
def test_every_estimator_is_made_anew_from_its_parameters(recipe: Recipe) -> None:
    for candidate in recipe.candidates:
        first, second = (candidate.build(candidate.parameters, recipe.seed) for _ in range(2))

        assert first is not second
        given = first.get_params()
        found = {name.rpartition("__")[2]: value for name, value in given.items()}
        assert {name: found[name] for name in candidate.parameters} == dict(candidate.parameters)


@EVERY_RECIPE
def test_what_is_searched_are_parameters_that_the_estimator_has(recipe: Recipe) -> None:
    for candidate in recipe.candidates:
        for name, values in candidate.search.items():
            made = candidate.build({**candidate.parameters, name: values[-1]}, recipe.seed)
            found = {key.rpartition("__")[2]: value for key, value in made.get_params().items()}
            assert found[name] == values[-1]


def test_what_the_iris_recipe_fetches_fits_its_own_schema(tmp_path: Path) -> None:
    table = validate(IRIS, extract(IRIS, data=None, data_dir=tmp_path / "nothing", workdir=tmp_path))

    assert table.features.shape == (150, 4)
    assert set(table.target) == {0, 1, 2}


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
def test_a_recipe_that_cannot_be_trained_is_refused(field: str, value: object) -> None:
    fields = {name: getattr(IRIS, name) for name in Recipe.model_fields}

    with pytest.raises(ValidationError) as caught:
        Recipe(**{**fields, field: value})

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metric": "r2"}, "'r2' cannot be asked for in classification; there is accuracy"),
        ({"floors": {"log_loss": 1}}, "'log_loss' cannot be asked for in classification"),
        ({"classes": ("one",)}, "a classifier has two classes or more, a regressor none"),
        ({"task": "regression", "metric": "r2", "floors": {}}, "a classifier has two classes or more"),
        ({"split": "time"}, "the split 'time' needs time_columns, and this recipe has none"),
        ({"columns": IRIS.columns * 2}, "two columns have the same name"),
        ({"target": IRIS.columns[0]}, "two columns have the same name"),
        ({"candidates": IRIS.candidates[:1] * 2}, "two candidates have the same name"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(changes: dict[str, object], sentence: str) -> None:
    fields = {name: getattr(IRIS, name) for name in Recipe.model_fields}

    with pytest.raises(ValidationError, match=re.escape(sentence)):
        Recipe(**{**fields, **changes})


@pytest.mark.parametrize("name", ["iris", "bike-demand"])
def test_the_recipes_of_the_folder_are_listed_by_their_models_names(name: str) -> None:
    assert name in recipe_names()
    assert find_recipe(name).name == name


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
        (None, "is not a file; give the path of the recipe's Python file"),
        ("", "defines no recipe: it must hold RECIPE = Recipe(…)"),
        ("RECIPE = 'iris'", "defines no recipe: it must hold RECIPE = Recipe(…)"),
        ("RECIPE = (", "cannot be used: SyntaxError: '(' was never closed"),
        ("import no_such_package", "cannot be used: ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "cannot be used: ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_defines_no_recipe_is_told(tmp_path: Path, content: str | None, sentence: str) -> None:
    file = tmp_path / "mine.py"
    if content is not None:
        file.write_text(content)

    with pytest.raises(UnknownRecipeError) as caught:
        find_recipe(str(file))

    assert str(caught.value).startswith(f"{file} {sentence}")


def test_a_misspelt_field_of_a_recipe_is_refused() -> None:
    fields = {name: getattr(IRIS, name) for name in Recipe.model_fields}

    with pytest.raises(ValidationError, match="floor\n"):
        Recipe.model_validate({**fields, "floor": {"accuracy": 0.9}})


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        IRIS.seed = 1  # type: ignore[misc]

"""Recipes: found by name, frozen, and consistent in themselves."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from slipway_core.graph import Outputs
from slipway_trainer.errors import UnknownRecipeError
from slipway_trainer.recipes import RECIPES, Recipe, find_recipe
from slipway_trainer.recipes.iris import IRIS
from slipway_trainer.steps.evaluate import classification_metrics
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.validate import validate

EVERY_RECIPE = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


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
    names = [*recipe.feature_names, recipe.target]

    assert len(set(names)) == len(names)


@EVERY_RECIPE
def test_every_floor_is_of_a_metric_that_is_measured(recipe: Recipe) -> None:
    n = len(recipe.classes)
    perfect = Outputs(np.arange(n), np.eye(n, dtype=np.float32))

    measured = classification_metrics(perfect, np.arange(n), n)

    assert recipe.floors.keys() <= measured.keys()
    assert recipe.metric in measured


@EVERY_RECIPE
def test_every_estimator_is_made_anew_from_its_parameters(recipe: Recipe) -> None:
    for candidate in recipe.candidates:
        first, second = (candidate.build(candidate.parameters, recipe.seed) for _ in range(2))

        assert first is not second
        given = first.get_params()
        found = {name.rpartition("__")[2]: value for name, value in given.items()}
        assert {name: found[name] for name in candidate.parameters} == dict(candidate.parameters)


def test_what_the_iris_recipe_fetches_fits_its_own_schema(tmp_path: Path) -> None:
    table = validate(IRIS, extract(IRIS, data=None, data_dir=tmp_path / "nothing", workdir=tmp_path))

    assert table.features.shape == (150, 4)
    assert set(table.target) == {0, 1, 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [("candidates", ()), ("test_fraction", 0.0), ("test_fraction", 1.0), ("folds", 1), ("metric", "luck")],
)
def test_a_recipe_that_cannot_be_trained_is_refused(field: str, value: object) -> None:
    fields = {name: getattr(IRIS, name) for name in Recipe.model_fields}

    with pytest.raises(ValidationError) as caught:
        Recipe(**{**fields, field: value})

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_a_misspelt_field_of_a_recipe_is_refused() -> None:
    fields = {name: getattr(IRIS, name) for name in Recipe.model_fields}

    with pytest.raises(ValidationError, match="floor\n"):
        Recipe.model_validate({**fields, "floor": {"accuracy": 0.9}})


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        IRIS.seed = 1  # type: ignore[misc]

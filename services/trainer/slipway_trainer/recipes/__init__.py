"""The recipes, one file a model, found by name."""

from slipway_trainer.errors import UnknownRecipeError
from slipway_trainer.recipes.base import Candidate, Column, Recipe
from slipway_trainer.recipes.iris import IRIS

__all__ = ["RECIPES", "Candidate", "Column", "Recipe", "find_recipe"]

RECIPES = {recipe.name: recipe for recipe in (IRIS,)}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        UnknownRecipeError: there is none, with the names there are.
    """
    if name not in RECIPES:
        raise UnknownRecipeError(f"there is no recipe {name!r}; there is {', '.join(sorted(RECIPES))}")
    return RECIPES[name]

"""The recipes, one file a model: those in this folder by the model's name, others by the path of their file."""

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from slipway_core.validation import first_problem
from slipway_trainer.errors import UnknownRecipeError
from slipway_trainer.recipes.base import Candidate, Column, Recipe

__all__ = ["Candidate", "Column", "Recipe", "find_recipe", "recipe_names"]

ATTRIBUTE = "RECIPE"


def recipe_names() -> list[str]:
    """Return the names of the recipes in this folder."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in modules if name != "base")


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a model's name, or the one that a file `*.py` defines as `RECIPE`.

    Only the recipe that is asked for is imported.

    Raises:
        UnknownRecipeError: there is none, with the names there are; or the file defines none.
    """
    if name.endswith(".py"):
        return _recipe_of(_load(Path(name)), name)
    if name not in recipe_names():
        raise UnknownRecipeError(
            f"there is no recipe {name!r}; there is {', '.join(recipe_names())}, or give the path of a file such as "
            "./wine.py"
        )
    recipe = _recipe_of(importlib.import_module(f"{__name__}.{name.replace('-', '_')}"), name)
    if recipe.name != name:
        raise UnknownRecipeError(f"the recipe {name} calls its model {recipe.name!r}: name the file like the model")
    return recipe


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise UnknownRecipeError(f"{path} is not a file; give the path of the recipe's Python file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UnknownRecipeError(f"{path} cannot be read as a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        place, message = first_problem(error)
        raise UnknownRecipeError(f"{path} cannot be used: {f'{place}: ' if place else ''}{message}") from error
    except Exception as error:  # a person's own code may raise anything
        raise UnknownRecipeError(f"{path} cannot be used: {type(error).__name__}: {error}") from error
    return module


def _recipe_of(module: ModuleType, name: str) -> Recipe:
    recipe = getattr(module, ATTRIBUTE, None)
    if not isinstance(recipe, Recipe):
        raise UnknownRecipeError(f"{name} defines no recipe: it must hold {ATTRIBUTE} = Recipe(…)")
    return recipe

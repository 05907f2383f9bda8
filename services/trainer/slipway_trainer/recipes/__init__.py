"""The recipes, one file per model. Find one in this folder by the model's name, or another by its file's path."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from slipway_core.validation import did_you_mean, words_of
from slipway_trainer.errors import UnknownRecipeError, reason_of
from slipway_trainer.recipes.base import Candidate, Recipe
from slipway_trainer.recipes.columns import Column
from slipway_trainer.recipes.problems import line_of, problems_of

__all__ = ["Candidate", "Column", "Recipe", "find_recipe", "recipe_names"]

ATTRIBUTE = "RECIPE"


def recipe_names() -> list[str]:
    """Return the names of the recipes in this folder."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in modules if name not in {"base", "columns", "problems"})


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a model, or the `RECIPE` in a Python file.

    Only the requested recipe is imported.

    Raises:
        UnknownRecipeError: the recipe does not exist, or the file does not define one.
    """
    if name.endswith(".py"):
        return _recipe_of(_load(Path(name)), name)
    if name not in recipe_names():
        raise UnknownRecipeError(
            f"unknown recipe {name!r}{did_you_mean(name, recipe_names()) or ';'} the recipes are "
            f"{', '.join(recipe_names())}; for your own recipe, pass the path of its file, such as ./wine.py"
        )
    module = name.replace("-", "_")
    with _explained(Path(__path__[0]) / f"{module}.py"):
        recipe = _recipe_of(importlib.import_module(f"{__name__}.{module}"), name)
    if recipe.name != name:
        raise UnknownRecipeError(f"the recipe {name} names its model {recipe.name!r}: rename the file or the model")
    return recipe


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise UnknownRecipeError(f"{path} is not a file; pass the path of the recipe's Python file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UnknownRecipeError(f"{path} cannot be read as a Python file")
    module = importlib.util.module_from_spec(spec)
    with _explained(path):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise an error with one sentence and the file's line for an exception of a recipe's own code."""
    try:
        yield
    except ValidationError as error:
        model = {kind.__name__: kind for kind in (Candidate, Column, Recipe)}.get(error.title)
        details = "; ".join(problems_of(error, model)) if model else f"{error.title}: {words_of(error.errors()[0])}"
        raise UnknownRecipeError(f"{path} cannot be used{line_of(error, path)}: {details}") from error
    except UnknownRecipeError:
        raise
    except Exception as error:  # a recipe's own code may raise anything
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise UnknownRecipeError(f"{path} cannot be used{line_of(error, path)}: {reason}") from error


def _recipe_of(module: ModuleType, name: str) -> Recipe:
    recipe = getattr(module, ATTRIBUTE, None)
    if not isinstance(recipe, Recipe):
        raise UnknownRecipeError(f"{name} defines no recipe: it must contain {ATTRIBUTE} = Recipe(…)")
    return recipe

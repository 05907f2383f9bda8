"""The differences between kinds of models: targets, scores, parity, plots. One file per kind."""

from slipway_trainer.recipes.base import Recipe
from slipway_trainer.tasks.base import Figure, Task
from slipway_trainer.tasks.classification import Classification
from slipway_trainer.tasks.regression import Regression

__all__ = ["Figure", "Task", "task_of"]

_TASKS: dict[str, type[Classification | Regression]] = {"classification": Classification, "regression": Regression}


def task_of(recipe: Recipe) -> Task:
    """Return the task of a recipe."""
    return _TASKS[recipe.task](recipe)

"""The results of the steps of a recipe, for tests that share them. Tests must not change these objects."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Dataset, Evaluation, Split, Table
from slipway_trainer.steps.evaluate import evaluate
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate


@dataclass(frozen=True)
class Trained:
    """The results of each step of a recipe.

    Attributes:
        evaluations: the evaluations by the candidate's name.
    """

    table: Table
    split: Split
    evaluations: Mapping[str, Evaluation]


def trained(recipe: Recipe, dataset: Dataset) -> Trained:
    """Return the results up to the evaluations."""
    table = validate(recipe, dataset)
    split = split_rows(recipe, table)
    for array in (split.train_features, split.train_target, split.test_features, split.test_target):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    evaluations = {
        c.name: evaluate(recipe, train(recipe, c, split, lambda _done, _total: None), split) for c in recipe.candidates
    }
    return Trained(table, split, evaluations)

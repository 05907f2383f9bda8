"""Splitting: test scores are as high as those of random splits, on tables of few and of many distinct rows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from slipway_core.rows import FloatMatrix
from slipway_trainer.recipes import Recipe, find_recipe
from slipway_trainer.splitting import held_out_rows, row_hashes
from slipway_trainer.tasks.base import Target

N_TABLES = 60
N_ROWS = 400
N_RANDOM_SPLITS = 4
FRACTION = 0.2
# The share of labels that are wrong: no honest score is above 1 - NOISE.
NOISE = 0.2
CLASSES = find_recipe("iris").model_copy(update={"test_fraction": FRACTION})
VALUES = find_recipe("bike-demand").model_copy(update={"test_fraction": FRACTION})


def table(
    recipe: Recipe, n_distinct: int, random: np.random.Generator
) -> tuple[FloatMatrix, Target, NDArray[np.int64]]:
    """Return features with so many distinct rows, a target that depends on them, and the number of each row's kind."""
    # Each table has values of its own: the places of equal rows would be the same in all tables.
    distinct = random.normal(size=(n_distinct, 3)).astype(np.float32)
    kinds = random.integers(0, n_distinct, N_ROWS) if n_distinct < N_ROWS else np.arange(N_ROWS)
    signal = distinct[:, 0] + distinct[:, 1] * (distinct[:, 2] > 0)
    if recipe.task == "classification":
        target: Target = (signal[kinds] > 0.5).astype(np.int64) ^ (random.random(N_ROWS) < NOISE)
    else:
        # Counts, so that rows repeat.
        target = np.round(4 * signal[kinds] + random.normal(size=N_ROWS)).astype(np.float64)
    return distinct[kinds], target, kinds


def score(recipe: Recipe, features: FloatMatrix, target: Target, held_out: NDArray[np.bool_]) -> float:
    kind: Any = DecisionTreeClassifier if recipe.task == "classification" else DecisionTreeRegressor
    fitted = kind(min_samples_leaf=5, random_state=0).fit(features[~held_out], target[~held_out])
    return float(fitted.score(features[held_out], target[held_out]))


@pytest.mark.parametrize(
    "recipe",
    [CLASSES, CLASSES.model_copy(update={"split": "random"}), VALUES],
    ids=["stratified", "random", "regression"],
)
@pytest.mark.parametrize(
    ("n_distinct", "is_keyed"),
    [(12, False), (200, False), (N_ROWS, False), (200, True)],
    ids=["12 rows", "200 rows", "all distinct", "200 keys"],
)
def test_scores_are_those_of_random_splits(recipe: Recipe, n_distinct: int, is_keyed: bool) -> None:
    random = np.random.default_rng(2026)
    differences = []
    for _ in range(N_TABLES):
        features, target, kinds = table(recipe, n_distinct, random)
        # A key is a kind of rows, such as a customer, whose rows are all alike.
        groups = kinds if is_keyed else np.arange(N_ROWS)
        keys = row_hashes(pd.DataFrame(features)) if is_keyed else None

        ours = score(recipe, features, target, held_out_rows(recipe, features, target, keys))

        others = [
            score(recipe, features, target, (random.random(N_ROWS) < FRACTION)[groups]) for _ in range(N_RANDOM_SPLITS)
        ]
        differences.append(ours - np.mean(others))

    standard_error = np.std(differences, ddof=1) / np.sqrt(N_TABLES)
    assert abs(np.mean(differences)) <= 2 * standard_error

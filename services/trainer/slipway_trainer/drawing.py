"""Draw rows of values that clients may send, to compare a graph with its estimator."""

from typing import Any

import numpy as np

from slipway_core.rows import FloatMatrix
from slipway_trainer.features import Features, TableFeatures, signature_of, table_features
from slipway_trainer.recipes import Column, Recipe

PARITY_ROWS = 1_000
# The share of missing values, and of unknown categories, where a column allows them.
ODD_SHARE = 0.1
UNKNOWN = "a category that the training rows do not have"


def draw_features(recipe: Recipe, features: Features) -> Features:
    """Draw rows from a recipe's domain, around the values of the training rows.

    A column with categories has these, and unknown ones if the API ignores them. Other floats reach half of the
    training range beyond it on each side, and integers stay within it. A nullable column has missing values.
    """
    if isinstance(features, TableFeatures):
        random = np.random.default_rng(recipe.seed)
        columns = [_draw(column, features.cells[:, index], random) for index, column in enumerate(recipe.columns)]
        return table_features(signature_of(recipe), columns)
    return _draw_matrix(recipe, features)


def _draw(column: Column, values: "np.ndarray[Any, Any]", random: np.random.Generator) -> list[Any]:
    known = np.array([value for value in values if value is not None], dtype=object)
    drawn: list[Any]
    if column.categories is not None:
        drawn = list(
            np.array(column.categories, dtype=object)[random.integers(len(column.categories), size=PARITY_ROWS)]
        )
        if column.on_unknown != "reject":
            unknown = UNKNOWN if column.dtype == "string" else max(map(float, column.categories)) + 1
            drawn = [unknown if odd else value for odd, value in zip(_odd(random), drawn, strict=True)]
    elif column.dtype == "int64":
        drawn = random.integers(min(known), max(known), endpoint=True, size=PARITY_ROWS).tolist()
    elif column.is_number:
        low, high = float(min(known)), float(max(known))
        margin = (high - low) / 2
        drawn = random.uniform(low - margin, high + margin, size=PARITY_ROWS).astype(np.float32).tolist()
    elif column.dtype == "bool":
        drawn = (random.random(PARITY_ROWS) < 0.5).tolist()  # noqa: PLR2004
    else:
        drawn = list(known[random.integers(len(known), size=PARITY_ROWS)])
        if column.dtype == "string":
            drawn = [UNKNOWN if odd else value for odd, value in zip(_odd(random), drawn, strict=True)]
    if column.dtype == "int64":
        drawn = [int(value) for value in drawn]
    if column.nullable:
        drawn = [None if odd else value for odd, value in zip(_odd(random), drawn, strict=True)]
    return drawn


def _odd(random: np.random.Generator) -> list[bool]:
    odd: list[bool] = (random.random(PARITY_ROWS) < ODD_SHARE).tolist()
    return odd


def _draw_matrix(recipe: Recipe, features: FloatMatrix) -> FloatMatrix:
    """Draw numbers. If the training rows of a column are whole numbers, half of its drawn values are, too."""
    random = np.random.default_rng(recipe.seed)
    low, high = features.min(axis=0), features.max(axis=0)
    margin = (high - low) / 2
    draw = random.uniform(low - margin, high + margin, size=(PARITY_ROWS, features.shape[1]))
    whole = (features == np.rint(features)).all(axis=0)
    draw[::2, whole] = np.rint(draw[::2, whole])
    for index, column in enumerate(recipe.columns):
        if column.served_categories is not None:
            draw[:, index] = random.choice(np.array(column.served_categories, dtype=float), size=PARITY_ROWS)
    return draw.astype(np.float32)

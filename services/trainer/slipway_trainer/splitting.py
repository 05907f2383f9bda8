"""Choose the test rows of a recipe.

The content of a row decides, not its position or a seed. When the data grows, test rows never become training rows. So
a champion of yesterday's data is scored on rows that it has not seen. Equal rows are on the same side.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.rows import FloatMatrix
from slipway_trainer.recipes import Recipe
from slipway_trainer.tasks.base import Target


def held_out_rows(recipe: Recipe, features: FloatMatrix, target: Target) -> NDArray[np.bool_]:
    """Return a mask of the test rows, (n_rows,) bool.

    `time`: the last rows. `random`: the rows whose hash, as a number from 0 to 1, is below the recipe's fraction.
    `stratified`: the rows with the lowest hashes of each class, so that classes keep their proportions; when a class
    grows, a few of its rows may change sides.

    Args:
        recipe: the recipe with the split and the fraction.
        features: (n_rows, n_features) float32; ordered by time if the split is by time.
        target: (n_rows,).
    """
    if recipe.split == "time":
        return np.arange(len(target)) >= len(target) - round(len(target) * recipe.test_fraction)
    places = _places(features, target)
    if recipe.split == "random":
        return places < recipe.test_fraction
    held_out = np.zeros(len(target), dtype=bool)
    for label in np.unique(target):
        members = np.flatnonzero(target == label)
        count = round(len(members) * recipe.test_fraction)
        if count:
            # All rows with an equal hash, so that equal rows stay together.
            held_out[members] = places[members] <= np.sort(places[members])[count - 1]
    return held_out


def _places(features: FloatMatrix, target: Target) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each row, which depends only on the row's content."""
    # Convert minus zero to zero.
    frame = pd.DataFrame(features + np.float32(0)).assign(target=target.astype(np.float64) + 0.0)
    hashes: NDArray[np.uint64] = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashes.astype(np.float64) / 2.0**64

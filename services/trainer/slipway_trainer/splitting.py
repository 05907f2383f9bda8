"""Which rows a model is judged by. Pure.

A row's content decides, not its place or a seed: as the data grows, a row that was judged by is never trained on. So a
champion that was trained on yesterday's data is compared on rows that it has not seen, and a row that comes twice is on
one side only.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.signature import FloatMatrix
from slipway_trainer.recipes import Recipe
from slipway_trainer.tasks.base import Target


def held_out_rows(recipe: Recipe, features: FloatMatrix, target: Target) -> NDArray[np.bool_]:
    """Return a mask of the rows that are held out, (n_rows,) bool.

    `time`: the last ones. `random`: those whose hash, as a number from 0 to 1, is below the recipe's fraction.
    `stratified`: of each class the rows with the lowest hashes, so that classes keep their proportions; there a row may
    change sides if its class grows, in one of many rows.

    Args:
        recipe: tells the split and the fraction.
        features: (n_rows, n_features) float32; in time's order if the split is by time.
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
            # All rows of the last place: equal rows are not parted.
            held_out[members] = places[members] <= np.sort(places[members])[count - 1]
    return held_out


def _places(features: FloatMatrix, target: Target) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each row, the same for the same row at any time."""
    # Minus zero is zero.
    frame = pd.DataFrame(features + np.float32(0)).assign(target=target.astype(np.float64) + 0.0)
    hashes: NDArray[np.uint64] = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashes.astype(np.float64) / 2.0**64

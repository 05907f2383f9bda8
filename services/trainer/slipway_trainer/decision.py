"""The threshold of a binary classifier: the predicted label by the probability of the positive class."""

import numpy as np
from numpy.typing import NDArray

from slipway_core.rows import FloatMatrix
from slipway_trainer.recipes.base import Recipe


def decision_of(recipe: Recipe) -> tuple[int, float] | None:
    """Return the index of the positive class and its threshold; None if the graph's own label is the prediction."""
    if recipe.threshold is None or recipe.positive_class is None:
        return None
    return recipe.classes.index(recipe.positive_class), recipe.threshold


def decide_labels(scores: FloatMatrix, decision: tuple[int, float]) -> NDArray[np.int64]:
    """Return (n_rows,) class indices: the positive class where its probability is at or above the threshold.

    Args:
        scores: (n_rows, 2) float32 probabilities, as the graph returns them.
        decision: the index of the positive class, and its threshold.
    """
    positive, threshold = decision
    # In float32, so that a threshold of 0.7 includes a probability of 0.7, which float32 rounds down.
    is_positive = scores[:, positive].astype(np.float32) >= np.float32(threshold)
    return np.where(is_positive, positive, 1 - positive).astype(np.int64)

"""Draw rows for a model of which only the columns are known."""

from collections.abc import Sequence

import numpy as np

from slipway_trainer.drawing import PARITY_ROWS
from slipway_trainer.foreign.columns import INTEGERS, Feature
from slipway_trainer.foreign.model import Cells

_MISSING_SHARE = 0.1


def draw_cells(
    features: Sequence[Feature], words: Sequence[tuple[str, ...] | None], random: np.random.Generator
) -> Cells:
    """Draw numbers of several magnitudes, and known texts.

    Args:
        features: the columns.
        words: the texts of each column of text without categories; None for other columns.
        random: the source of random numbers.

    Returns:
        (n_rows, n_columns) values as clients send them.
    """
    cells = np.empty((PARITY_ROWS, len(features)), dtype=object)
    numbers = random.normal(size=cells.shape) * 10 ** random.uniform(-1, 2, size=(PARITY_ROWS, 1))
    # Many features are never negative.
    numbers[::2] = np.abs(numbers[::2])
    for index, feature in enumerate(features):
        cells[:, index] = _column(feature, words[index], numbers[:, index], random)
        if feature.nullable:
            cells[random.random(PARITY_ROWS) < _MISSING_SHARE, index] = None
    return cells


def _column(
    feature: Feature,
    words: tuple[str, ...] | None,
    numbers: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    random: np.random.Generator,
) -> list[object]:
    if known := feature.categories or words:
        drawn = [known[index] for index in random.integers(len(known), size=PARITY_ROWS)]
        return [int(value) for value in drawn] if feature.kind in INTEGERS else list(drawn)
    if feature.kind == "bool":
        return [bool(value > 0) for value in numbers]
    if feature.kind in INTEGERS:
        return [int(value) for value in np.rint(numbers)]
    # float32 represents them exactly, so that rounding cannot explain a difference.
    return [float(value) for value in numbers.astype(np.float32)]

"""Select a few of many rows."""

import numpy as np
from numpy.typing import NDArray


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return the indices of at most `most` of `count` rows, evenly spaced, because the rows may be sorted."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)

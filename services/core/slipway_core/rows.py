"""The rows of a request in the form that the graph takes: a float32 matrix, or a table of typed columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# The size of a value of a table in the prediction log, for limits of memory.
CELL_BYTES = 32

FloatMatrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with typed columns.

    Attributes:
        columns: the values as clients send them, one list per column of the signature; None for a missing value.
        feed: an (n_rows, width) array per input of the graph.
        nbytes: roughly the size of the values in memory.
    """

    columns: Sequence[Sequence[Any]]
    feed: dict[str, NDArray[Any]]
    nbytes: int = 0

    def __len__(self) -> int:
        return len(self.columns[0])


Rows: TypeAlias = FloatMatrix | Table


def repeated(rows: Rows, count: int) -> Rows:
    """Return `count` rows that repeat the given ones."""
    if isinstance(rows, Table):
        columns = [[column[index % len(rows)] for index in range(count)] for column in rows.columns]
        feed = {name: np.resize(values, (count, values.shape[1])) for name, values in rows.feed.items()}
        return Table(columns, feed)
    return np.resize(rows, (count, rows.shape[1]))

"""The features of a data set as estimators and graphs take them: a float32 matrix, or a table of typed columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.columns import GraphInput, InputColumn
from slipway_core.rows import FloatMatrix, Rows, Table
from slipway_core.table_signature import TableSignature
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.columns import Column

Indices = NDArray[Any]


@dataclass(frozen=True)
class TableFeatures:
    """The rows of a table.

    Attributes:
        cells: (n_rows, n_columns) objects, as clients send them; None for a missing value.
        frame: the same rows as estimators and the graph take them: float32 and text.
    """

    cells: NDArray[np.object_]
    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, rows: Indices) -> "TableFeatures":
        """Return the rows of some indices, or of a mask."""
        return TableFeatures(self.cells[rows], self.frame.iloc[rows])


# A FloatMatrix or TableFeatures, whichever the recipe's columns need. The functions below handle both; everything
# else passes features on or selects rows of them, to libraries without types.
Features: TypeAlias = Any


def signature_of(recipe: Recipe) -> TableSignature:
    """Return the signature of a recipe whose features are a table. It rejects no number that exceeds the data's."""
    return TableSignature([input_column(column) for column in recipe.columns], graph_inputs(recipe.columns))


def input_column(column: Column, low: float | None = None, high: float | None = None) -> InputColumn:
    """Return the manifest's description of a column, with the range of the training rows."""
    is_text = column.dtype == "string"
    return InputColumn(
        name=column.name,
        dtype=column.dtype,
        nullable=column.nullable,
        missing=column.missing if is_text and column.nullable else None,
        categories=column.categories if column.on_unknown != "warn" else None,
        on_unknown="reject" if column.categories is None or column.on_unknown == "reject" else "ignore",
        min=low,
        max=high,
        unit=column.unit,
        description=column.description,
    )


def graph_inputs(columns: Sequence[Column]) -> tuple[GraphInput, ...]:
    """Return the graph's inputs for a table: one per column, or per part of a date."""
    inputs = []
    for column in columns:
        if column.dtype == "date":
            inputs += [
                GraphInput(name=name, dtype="float32", shape=(1,), column=column.name, part=part)
                for name, part in zip(column.estimator_columns, column.parts, strict=True)
            ]
        else:
            inputs.append(GraphInput(name=column.name, dtype=column.graph_dtype, shape=(1,), column=column.name))
    return tuple(inputs)


def table_features(signature: TableSignature, columns: Sequence[Sequence[Any]]) -> TableFeatures:
    """Convert columns of values, as clients send them, to the rows of a table.

    Raises:
        FeaturesError: a value is invalid.
    """
    table = signature.table(columns, lambda row, name: (row, name))
    values = np.empty((len(columns[0]), len(columns)), dtype=object)
    for index, column in enumerate(columns):
        values[:, index] = column
    return TableFeatures(values, pd.DataFrame({name: array[:, 0] for name, array in table.feed.items()}))


def for_estimator(features: Features) -> FloatMatrix | pd.DataFrame:
    """Return the matrix, or a DataFrame with the recipe's `estimator_columns`."""
    return features.frame if isinstance(features, TableFeatures) else features


def as_sent(features: Features) -> FloatMatrix | pd.DataFrame:
    """Return the values as clients send them, which do not depend on what a recipe makes of them."""
    return pd.DataFrame(features.cells) if isinstance(features, TableFeatures) else features


def for_graph(features: Features) -> Rows:
    """Return the rows in the form that a graph takes."""
    if not isinstance(features, TableFeatures):
        matrix: FloatMatrix = features
        return matrix
    feed = {str(name): column.to_numpy().reshape(-1, 1) for name, column in features.frame.items()}
    return Table(features.cells.T.tolist(), feed)


def joined(first: Features, second: Features) -> Features:
    """Return the rows of two sets of features, one after the other."""
    if isinstance(first, TableFeatures) and isinstance(second, TableFeatures):
        frame = pd.concat([first.frame, second.frame], ignore_index=True)
        return TableFeatures(np.concatenate([first.cells, second.cells]), frame)
    return np.concatenate([first, second])


def with_shuffled_column(features: Features, column: Column, index: int, random: np.random.Generator) -> Features:
    """Return a copy in which the values of one column are in another order."""
    order = random.permutation(len(features))
    if not isinstance(features, TableFeatures):
        shuffled = features.copy()
        shuffled[:, index] = features[order, index]
        return shuffled
    frame = features.frame.copy()
    for name in column.estimator_columns:
        frame[name] = features.frame[name].to_numpy()[order]
    return TableFeatures(features.cells, frame)

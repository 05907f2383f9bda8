"""The interface of a model that Slipway did not train, whatever its library is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from slipway_core.manifest import GraphNames
from slipway_trainer.foreign.columns import Feature, Kind
from slipway_trainer.foreign.schema import Known
from slipway_trainer.recipes import Column
from slipway_trainer.recipes.base import Label

# (n_rows, n_columns) objects, as clients send them; None for a missing value.
Cells = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Expected:
    """The model's own predictions.

    Attributes:
        prediction: (n_rows,) indices of classes, or values of a regression.
        scores: (n_rows, n_classes) probabilities; None for a regression.
    """

    prediction: NDArray[np.int64] | NDArray[np.float64]
    scores: NDArray[np.float64] | None


@dataclass(frozen=True)
class Converted:
    """A graph with the same predictions.

    Attributes:
        model: the serialised graph.
        names: its outputs.
        columns: its columns, as the manifest describes them.
    """

    model: bytes
    names: GraphNames
    columns: tuple[Column, ...]


class ForeignModel(Protocol):
    """A loaded model.

    Attributes:
        task: the kind of its predictions.
        classes: the labels of a classifier; empty for a regressor.
        known: what it shows about its columns.
        gaps: the types of columns that may have missing values.
    """

    task: Literal["classification", "regression"]
    classes: tuple[Label, ...]
    known: Known
    gaps: frozenset[Kind]

    def described(self, features: Sequence[Feature], cells: Cells | None) -> tuple[Feature, ...]:
        """Return the columns with the values that the model knows, and those that may be missing.

        Args:
            features: the columns.
            cells: rows of the data or of the input example; None without any.
        """
        ...

    def words(self, feature: Feature) -> tuple[str, ...] | None:
        """Return texts that a column of text may have, to draw rows; None if the model shows none."""
        ...

    def predict(self, features: Sequence[Feature], cells: Cells) -> Expected:
        """Return the model's own predictions.

        Raises:
            ForeignModelError: it rejects the rows.
        """
        ...

    def convert(self, features: Sequence[Feature]) -> Converted:
        """Return the graph.

        Raises:
            TrainingError: the model cannot be converted.
            ForeignModelError: the graph cannot be served.
        """
        ...


def graph_labels(classes: Sequence[Label]) -> tuple[int | str, ...] | None:
    """Return the values of a graph's label output by class; None if they are the indices of the classes."""
    values = tuple(label if isinstance(label, str) else int(label) for label in classes)
    return None if values == tuple(range(len(values))) else values

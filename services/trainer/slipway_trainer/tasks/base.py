"""The interface between the steps and the code that depends on the kind of model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import matplotlib.figure
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.graph import Outputs
from slipway_trainer.features import Features

# (n_rows,) int64 class indices, or float64 values of a regression.
Target = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A plot and the numbers that it shows.

    Attributes:
        name: the artifact's name, without its suffix.
        data: the numbers, as JSON values.
    """

    name: str
    figure: matplotlib.figure.Figure
    data: Mapping[str, Any]


class Task(Protocol):
    """A kind of model, for one recipe."""

    # The options for skl2onnx's converter.
    export_options: Mapping[str, Any]
    # scikit-learn's name of the score for quick checks of the data; random guessing scores `chance`.
    probe_score: str
    chance: float

    def encode(self, values: pd.Series) -> Target:
        """Convert the target's column to the values that estimators are fitted on."""
        ...

    def decode(self, target: Target) -> NDArray[Any]:
        """Convert fitted values back to labels or values."""
        ...

    def probes(self) -> tuple[Any, ...]:
        """Return new, small estimators for quick checks of the data: a tree and a linear model."""
        ...

    def check_target(self, target: Target) -> Iterator[str]:
        """Yield the problems of the target as a whole."""
        ...

    def check_estimator(self, estimator: Any) -> None:  # noqa: ANN401
        """Check a fitted estimator before it is exported.

        Raises:
            TrainingError: it does not return what this kind of model requires.
        """
        ...

    def score(self, outputs: Outputs, target: Target) -> dict[str, float]:
        """Score a graph's outputs against the true target, by every metric that is defined on these rows."""
        ...

    def score_estimator(self, estimator: Any, rows: Features, target: Target) -> float:  # noqa: ANN401
        """Score a fitted estimator on (n_rows, n_features) float32 rows by the recipe's metric, like its graph.

        Returns:
            The metric's value; NaN if it is undefined on these rows.

        Raises:
            TrainingError: the metric needs probabilities, which the estimator does not return.
        """
        ...

    def difference(self, estimator: Any, outputs: Outputs, rows: Features, scale: float) -> float:  # noqa: ANN401
        """Compare a graph's outputs with its estimator's on (n_rows, n_features) float32 rows.

        Args:
            estimator: the fitted estimator.
            outputs: the graph's outputs.
            rows: the input of both.
            scale: the standard deviation of the training rows' target; classifiers ignore it.

        Returns:
            The largest difference in units of the tolerance; at most 1 means equal.

        Raises:
            ParityError: the shapes differ, or a class differs without a tie.
        """
        ...

    def figures(self, outputs: Outputs, target: Target, title: str) -> Iterator[Figure]:
        """Draw plots for the comparison of runs."""
        ...

"""Regressors: the graph returns one number per row."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from mlflow.types import TensorSpec
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, median_absolute_error, r2_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from slipway_core.graph import Outputs
from slipway_core.manifest import GraphNames
from slipway_core.rows import FloatMatrix
from slipway_trainer.errors import ParityError
from slipway_trainer.export import PARITY_TOLERANCE
from slipway_trainer.plots import prediction_figure, residuals_figure
from slipway_trainer.recipes.base import Recipe
from slipway_trainer.tasks.base import Figure, Target


class Regression:
    """The task of a regressor; see `slipway_trainer.tasks.base.Task`."""

    export_options: Mapping[str, Any] = {}
    probe_score = "r2"
    chance = 0.0

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def encode(self, values: pd.Series) -> Target:
        """Convert numbers to (n_rows,) float64."""
        encoded: NDArray[np.float64] = values.to_numpy(dtype=np.float64)
        return encoded

    def decode(self, target: Target) -> NDArray[Any]:
        """Return the numbers unchanged."""
        return target

    def probes(self) -> tuple[Any, ...]:
        """Return a tree of at most a thousand leaves, and a linear regressor."""
        return (
            DecisionTreeRegressor(max_depth=10, min_samples_leaf=3, random_state=0),
            make_pipeline(StandardScaler(), Ridge()),
        )

    def check_target(self, target: Target) -> Iterator[str]:
        """Yield a problem if the target is constant."""
        if np.ptp(target) == 0:
            yield (
                f"the target {self._recipe.target.name!r} is {target[0]:g} in every row, so a model cannot learn; "
                "correct the data, or choose another `target` in the recipe"
            )

    def check_estimator(self, estimator: Any) -> None:  # noqa: ANN401
        """Accept every regressor."""

    def score(self, outputs: Outputs, target: Target) -> dict[str, float]:
        """Score values: errors in the target's unit; `r2` is 1 for perfect predictions and 0 for the constant mean."""
        prediction = np.asarray(outputs.prediction, dtype=np.float64)
        return {
            "r2": float(r2_score(target, prediction)),
            "rmse": float(root_mean_squared_error(target, prediction)),
            "mae": float(mean_absolute_error(target, prediction)),
            "median_absolute_error": float(median_absolute_error(target, prediction)),
        }

    def difference(self, estimator: Any, outputs: Outputs, rows: FloatMatrix, scale: float) -> float:  # noqa: ANN401
        """Compare values relative to their magnitude and the target's scale, because sums near zero lose precision."""
        expected = np.asarray(estimator.predict(rows), dtype=np.float64)
        if outputs.prediction.shape != expected.shape:
            raise ParityError("the shape of the exported graph's values differs from the estimator's")
        allowed = PARITY_TOLERANCE * (np.abs(expected) + scale)
        return float(np.max(np.abs(outputs.prediction - expected) / allowed))

    def output_specs(self, names: GraphNames) -> list[TensorSpec]:
        """Return the value."""
        return [TensorSpec(np.dtype(np.float32), (-1, 1), names.label)]

    def figures(self, outputs: Outputs, target: Target, title: str) -> Iterator[Figure]:
        """Draw prediction against truth, and residuals."""
        prediction = np.asarray(outputs.prediction, dtype=np.float64)
        unit = self._recipe.target.unit or self._recipe.target.name
        figure, data = prediction_figure(target, prediction, unit, title)
        yield Figure("prediction_against_truth", figure, data)
        figure, data = residuals_figure(target, prediction, unit, title)
        yield Figure("residuals", figure, data)

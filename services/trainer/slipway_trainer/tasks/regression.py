"""Regressors: the graph returns one number per row."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from slipway_core.graph import Outputs
from slipway_trainer.errors import ParityError
from slipway_trainer.export import PARITY_TOLERANCE
from slipway_trainer.features import Features, for_estimator
from slipway_trainer.metrics import METRICS, Scored, measure_all
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
        """Yield a problem if the target is constant, or 0 where a metric of the recipe divides by it."""
        if np.ptp(target) == 0:
            yield (
                f"the target {self._recipe.target.name!r} is {target[0]:g} in every row, so a model cannot learn; "
                "correct the data, or choose another `target` in the recipe"
            )
        zeros = int(np.count_nonzero(target == 0))
        if zeros and (divided := [name for name in self._recipe.deciding_metrics if METRICS[name].needs_nonzero]):
            yield (
                f"the target {self._recipe.target.name!r} is 0 in {zeros} of {len(target)} rows, where {divided[0]} is "
                f"undefined; use another metric, such as mae, as the recipe's `metric` (--set metric=mae) and in its "
                "`ceilings`"
            )

    def check_estimator(self, estimator: Any) -> None:  # noqa: ANN401
        """Accept every regressor."""

    def score(self, outputs: Outputs, target: Target) -> dict[str, float]:
        """Score values; errors are in the target's unit."""
        return measure_all("regression", self._scored(outputs.prediction, target))

    def score_estimator(self, estimator: Any, rows: Features, target: Target) -> float:  # noqa: ANN401
        """Score a fitted estimator by the recipe's metric."""
        return METRICS[self._recipe.metric].measure(self._scored(estimator.predict(for_estimator(rows)), target))

    def _scored(self, prediction: NDArray[Any], target: Target) -> Scored:
        return Scored(target, np.asarray(prediction, dtype=np.float64), quantile=self._recipe.quantile)

    def difference(self, estimator: Any, outputs: Outputs, rows: Features, scale: float) -> float:  # noqa: ANN401
        """Compare values relative to their magnitude and the target's scale, because sums near zero lose precision."""
        expected = np.asarray(estimator.predict(for_estimator(rows)), dtype=np.float64)
        if outputs.prediction.shape != expected.shape:
            raise ParityError("the shape of the exported graph's values differs from the estimator's")
        allowed = PARITY_TOLERANCE * (np.abs(expected) + scale)
        return float(np.max(np.abs(outputs.prediction - expected) / allowed))

    def figures(self, outputs: Outputs, target: Target, title: str) -> Iterator[Figure]:
        """Draw prediction against truth, and residuals."""
        prediction = np.asarray(outputs.prediction, dtype=np.float64)
        unit = self._recipe.target.unit or self._recipe.target.name
        figure, data = prediction_figure(target, prediction, unit, title)
        yield Figure("prediction_against_truth", figure, data)
        figure, data = residuals_figure(target, prediction, unit, title)
        yield Figure("residuals", figure, data)

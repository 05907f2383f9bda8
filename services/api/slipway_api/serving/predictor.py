"""From a matrix to a model's outputs, timed, counted and checked."""

import math
import time
from typing import NamedTuple

import numpy as np
from prometheus_client import Counter, Histogram

from slipway_api.errors import InvalidInputError
from slipway_api.metrics import Metrics
from slipway_api.serving.served_model import ServedModel
from slipway_core.errors import BundleError, Problem
from slipway_core.graph import Outputs
from slipway_core.signature import FloatMatrix


class _Children(NamedTuple):
    """The metrics of one model version, looked up once."""

    rows: Counter
    seconds: Histogram
    outside: Counter


class Predictor:
    """Runs models. It may be called from several threads."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._children: dict[tuple[str, str], _Children] = {}

    def run(self, model: ServedModel, matrix: FloatMatrix) -> Outputs:
        """Run a model on an (n_rows, n_features) float32 matrix.

        Raises:
            BundleError: the graph fails on rows that its signature allows, or gives a class that there is not.
            InvalidInputError: the graph has no finite answer for these rows.
        """
        children = self._children.get((model.name, model.version)) or self._resolve(model)
        began = time.perf_counter()
        outputs = model.graph.run(matrix)
        children.seconds.observe(time.perf_counter() - began)
        children.rows.inc(len(matrix))
        if outside := model.signature.count_out_of_range(matrix):
            children.outside.inc(outside)
        return _checked(model, outputs)

    def _resolve(self, model: ServedModel) -> _Children:
        labels = (model.name, model.version)
        children = _Children(
            self._metrics.predicted_rows.labels(*labels),
            self._metrics.inference_seconds.labels(*labels),
            self._metrics.out_of_range.labels(*labels),
        )
        self._children = {**self._children, labels: children}
        return children


def _checked(model: ServedModel, outputs: Outputs) -> Outputs:
    prediction, scores, classes = outputs.prediction, outputs.scores, model.manifest.classes
    values = prediction if scores is None else scores
    # Of one row, Python's own sums and comparisons are done before numpy's have begun.
    few = values.ravel().tolist() if len(values) == 1 else None
    if not (np.isfinite(values).all() if few is None else math.isfinite(sum(few))):
        raise InvalidInputError([Problem(("features",), "the model has no finite answer for these values")])
    if classes is None or scores is None:
        return outputs
    if not (
        prediction.min() >= 0 and prediction.max() < len(classes) if few is None else 0 <= prediction[0] < len(classes)
    ):
        raise BundleError(f"the graph of {model.name} {model.version} gives a class that its manifest does not name")
    if few is not None and min(few) >= 0 and max(few) <= 1:
        return outputs
    # Sums in float32 end a hair beside 0 and 1.
    return Outputs(prediction, np.minimum(np.maximum(scores, np.float32(0)), np.float32(1)))

"""From a matrix to a model's outputs, timed, counted and checked."""

import math
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram

from slipway_api.errors import InvalidInputError, UnusableAnswerError
from slipway_api.metrics import Metrics
from slipway_api.serving.served_model import ServedModel
from slipway_core.errors import BundleError, Problem
from slipway_core.graph import Outputs
from slipway_core.logging import get_logger
from slipway_core.signature import FloatMatrix

log = get_logger("slipway.predictor")


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
            UnusableAnswerError: the graph fails on rows that its signature allows, or answers what there cannot be.
            InvalidInputError: the graph has no finite answer for these rows.
        """
        children = self._children.get((model.name, model.version)) or self._resolve(model)
        began = time.perf_counter()
        try:
            outputs = model.answer(matrix)
        except BundleError as error:
            raise self._unusable(model, error) from error
        children.seconds.observe(time.perf_counter() - began)
        children.rows.inc(len(matrix))
        if outside := model.signature.count_out_of_range(matrix):
            children.outside.inc(outside)
        if not _is_finite(outputs.prediction if outputs.scores is None else outputs.scores):
            raise InvalidInputError([Problem(("features",), "the model has no finite answer for these values")])
        return outputs

    def _resolve(self, model: ServedModel) -> _Children:
        labels = (model.name, model.version)
        children = _Children(
            self._metrics.predicted_rows.labels(*labels),
            self._metrics.inference_seconds.labels(*labels),
            self._metrics.out_of_range.labels(*labels),
        )
        self._children = {**self._children, labels: children}
        return children

    def _unusable(self, model: ServedModel, error: BundleError) -> UnusableAnswerError:
        self._metrics.unusable_answers.labels(model.name, model.version).inc()
        # The reason says all, and a client may cause it again and again: no traceback.
        log.error("model_answer_unusable", model=model.name, version=model.version, reason=str(error))
        return UnusableAnswerError(
            f"version {model.version} of {model.name} gives no usable answer to this; roll back to another version"
        )


def _is_finite(values: NDArray[Any]) -> bool:
    if len(values) == 1:  # of one row, Python's sum is done before numpy has begun
        return math.isfinite(sum(values.ravel().tolist()))
    return bool(np.isfinite(values).all())

"""From a matrix to a model's outputs, timed and counted."""

import asyncio
import time

from slipway_api.errors import UnusableAnswerError
from slipway_api.metrics import Metrics
from slipway_api.serving.served_model import ServedModel
from slipway_core.errors import BundleError
from slipway_core.graph import Outputs
from slipway_core.logging import get_logger
from slipway_core.signature import FloatMatrix

# A small model answers this many rows in less time than a hand-over to a thread costs; more would hold up the loop.
INLINE_ROWS = 256

log = get_logger("slipway.predictor")


async def predict(model: ServedModel, matrix: FloatMatrix, metrics: Metrics) -> Outputs:
    """Run a model on an (n_rows, n_features) float32 matrix.

    Raises:
        UnusableAnswerError: the graph fails on rows that its signature allows, or answers what there cannot be.
    """
    began = time.perf_counter()
    if len(matrix) <= INLINE_ROWS:
        outputs = _answer(model, matrix, metrics)
    else:
        outputs = await asyncio.to_thread(_answer, model, matrix, metrics)
    metrics.inference_seconds.labels(model.name, model.version).observe(time.perf_counter() - began)
    metrics.predicted_rows.labels(model.name, model.version).inc(len(matrix))
    if outside := model.signature.count_out_of_range(matrix):
        metrics.out_of_range.labels(model.name, model.version).inc(outside)
    return outputs


def _answer(model: ServedModel, matrix: FloatMatrix, metrics: Metrics) -> Outputs:
    try:
        return model.answer(matrix)
    except BundleError as error:
        metrics.unusable_answers.labels(model.name, model.version).inc()
        # The reason says all, and a client may cause it again and again: no traceback.
        reason = str(error)
        log.error("model_answer_unusable", model=model.name, version=model.version, reason=reason)  # noqa: TRY400
        raise UnusableAnswerError(
            f"version {model.version} of {model.name} gives no usable answer to this; roll back to another version"
        ) from error

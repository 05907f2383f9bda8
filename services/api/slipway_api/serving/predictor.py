"""From a matrix to a model's outputs, timed and counted."""

import asyncio
import time

from slipway_api.metrics import Metrics
from slipway_api.serving.served_model import ServedModel
from slipway_core.graph import Outputs
from slipway_core.signature import FloatMatrix

# A small model answers this many rows in less time than a hand-over to a thread costs; more would hold up the loop.
INLINE_ROWS = 256


async def predict(model: ServedModel, matrix: FloatMatrix, metrics: Metrics) -> Outputs:
    """Run a model on an (n_rows, n_features) float32 matrix.

    Raises:
        BundleError: the graph fails on rows that its signature allows.
    """
    began = time.perf_counter()
    if len(matrix) <= INLINE_ROWS:
        outputs = model.graph.run(matrix)
    else:
        outputs = await asyncio.to_thread(model.graph.run, matrix)
    metrics.inference_seconds.labels(model.name, model.version).observe(time.perf_counter() - began)
    metrics.predicted_rows.labels(model.name, model.version).inc(len(matrix))
    if outside := model.signature.count_out_of_range(matrix):
        metrics.out_of_range.labels(model.name, model.version).inc(outside)
    return outputs

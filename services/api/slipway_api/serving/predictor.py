"""Run models on feature matrices, and time, count and check the outputs."""

import math
import time
from typing import Any

import numpy as np

from slipway_api.errors import DeadlineError, InvalidInputError, UnusableAnswerError
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.version_metrics import VersionMetrics
from slipway_core.errors import BundleError, Problem
from slipway_core.feature_values import OutOfRange
from slipway_core.graph import Outputs, RunOptions
from slipway_core.logging import get_logger
from slipway_core.rows import Rows

log = get_logger("slipway.predictor")


class Predictor:
    """Run models. Thread-safe."""

    def __init__(self, metrics: ServingMetrics) -> None:
        self._metrics = metrics
        # Includes the digest: after a model is deleted and recreated, its version 1 may have other classes.
        self._counted: dict[tuple[str, str, str], VersionMetrics] = {}

    def run(
        self, model: ServedModel, rows: Rows, options: RunOptions | None = None
    ) -> tuple[Outputs, OutOfRange | None]:
        """Run a model on rows, as its signature returns them.

        Args:
            model: the model.
            rows: the rows.
            options: run options, for a run that another thread may terminate.

        Returns:
            The outputs, and the values outside the trained range or None.

        Raises:
            DeadlineError: the run was terminated.
            UnusableAnswerError: the graph fails on valid rows, or returns output that its manifest rules out.
            InvalidInputError: the graph returns no finite result for these rows.
        """
        counted = self._counted.get((model.name, model.version, model.manifest_sha256)) or self._resolve(model)
        began = time.perf_counter()
        try:
            outputs = model.answer(rows, options)
        except BundleError as error:
            if options is not None and options.terminate:
                raise DeadlineError("the run was terminated at the request's deadline; send fewer rows") from None
            raise self._unusable(model, error) from error
        counted.seconds.observe(time.perf_counter() - began)  # also if the result is not finite
        answers = outputs.prediction if outputs.scores is None else outputs.scores
        if len(answers) == 1:  # faster than numpy for one row
            values = answers.ravel().tolist()
            if not math.isfinite(sum(values)):
                raise _no_answer()
            counted.count_row(outputs.prediction.item(), values)
        else:
            if not np.isfinite(answers).all():
                raise _no_answer()
            counted.count_rows(outputs)
        counted.rows.inc(len(rows))
        signature: Any = model.signature  # whose rows these are
        if not signature.count_out_of_range(rows):
            return outputs, None
        outside: OutOfRange = signature.out_of_range(rows)
        counted.count_out_of_range(outside.counts)
        return outputs, outside

    def _resolve(self, model: ServedModel) -> VersionMetrics:
        counted = VersionMetrics(self._metrics, model)
        self._counted = {**self._counted, (model.name, model.version, model.manifest_sha256): counted}
        return counted

    def _unusable(self, model: ServedModel, error: BundleError) -> UnusableAnswerError:
        self._metrics.unusable_answers.labels(model.name, model.version).inc()
        # The reason is sufficient and a client may trigger this often: no traceback.
        log.error("model_answer_unusable", model=model.name, version=model.version, reason=str(error))
        return UnusableAnswerError(
            f"version {model.version} of {model.name} failed or returned invalid output for this request; roll back to "
            "another version"
        )


def _no_answer() -> InvalidInputError:
    return InvalidInputError([Problem(("features",), "the model returns no finite result for these values")])

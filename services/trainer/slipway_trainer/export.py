"""From a fitted scikit-learn classifier to an ONNX graph that answers alike."""

from typing import Any

import numpy as np
from skl2onnx import to_onnx

from slipway_core.bundle import GraphNames
from slipway_core.graph import Graph
from slipway_core.signature import FloatMatrix
from slipway_trainer.errors import ParityError

# A fixed opset: the newest that scikit-learn's converters are tested with and the runtime has had for years.
OPSET = {"": 17, "ai.onnx.ml": 3}
# Sums of float32 leaf values and scores differ in the last bits between the two; probabilities stay within this.
PARITY_TOLERANCE = 1e-5
CLASSIFIER_NAMES = GraphNames(input="X", label="label", scores="probabilities")


def export_classifier(estimator: Any, sample: FloatMatrix) -> bytes:  # noqa: ANN401  # scikit-learn has no types
    """Return the serialised graph of a classifier: `X` → `label` and `probabilities`, as plain tensors.

    Args:
        estimator: fitted on float32 rows with class indices as target.
        sample: one row or more, (n_rows, n_features) float32, for the input's width.
    """
    graph = to_onnx(estimator, sample[:1], options={"zipmap": False}, target_opset=OPSET)
    graph.producer_name = "slipway"
    content: bytes = graph.SerializeToString()
    return content


def check_parity(estimator: Any, graph: Graph, rows: FloatMatrix) -> float:  # noqa: ANN401
    """Compare the graph with its estimator on (n_rows, n_features) float32 rows.

    Returns:
        The greatest absolute difference of a probability.

    Raises:
        ParityError: a difference is above PARITY_TOLERANCE, or a class differs that is no tie.
    """
    outputs = graph.run(rows)
    probabilities = estimator.predict_proba(rows)
    if outputs.scores is None or outputs.scores.shape != probabilities.shape:
        raise ParityError("the exported graph gives no probabilities of the estimator's shape")
    difference = float(np.max(np.abs(outputs.scores - probabilities)))
    if not difference <= PARITY_TOLERANCE:
        raise ParityError(
            f"the exported graph's probabilities differ from the estimator's by {difference:.2g}, "
            f"and {PARITY_TOLERANCE:g} is allowed"
        )
    expected = estimator.predict(rows)
    # Where two classes are equally likely within the tolerance, either is right.
    best_two = np.sort(probabilities, axis=1)[:, -2:]
    tied = best_two[:, 1] - best_two[:, 0] <= PARITY_TOLERANCE
    if np.any((outputs.prediction != expected) & ~tied):
        raise ParityError("the exported graph and the estimator disagree on a class")
    return difference

"""Compare a graph with the model that it was converted from, on rows of the data and on drawn rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from slipway_core.errors import BundleError
from slipway_core.graph import Graph, Outputs
from slipway_trainer.errors import ParityError
from slipway_trainer.export import PARITY_TOLERANCE
from slipway_trainer.features import Features, for_graph
from slipway_trainer.foreign.columns import Feature
from slipway_trainer.foreign.model import Cells, Expected
from slipway_trainer.recipes import Recipe

SHOWN_CELLS = 8


def check_parity(
    recipe: Recipe,
    graph: Graph,
    rows: Features,
    expected: Expected,
    *,
    cells: Cells,
    features: Sequence[Feature],
    scale: float,
    what: str,
) -> float:
    """Compare the outputs of a graph with the model's own predictions.

    Args:
        recipe: the classes.
        graph: the graph.
        rows: the rows as the graph takes them.
        expected: the model's own predictions for them.
        cells: the same rows as clients send them, for messages.
        features: the columns.
        scale: the standard deviation of the values of a regression.
        what: what the rows are, for messages.

    Returns:
        The largest difference in units of the tolerance, at most 1.

    Raises:
        ParityError: a row differs; the message shows it with both predictions.
    """
    try:
        outputs = graph.run(for_graph(rows))
    except BundleError as error:
        raise ParityError(f"the converted graph fails on {what}, which the model itself predicts; {_ADVICE}") from error
    difference = _differences(outputs, expected, scale)
    worst = int(np.argmax(np.nan_to_num(difference, nan=np.inf)))
    if difference[worst] <= 1:  # False for NaN
        return float(difference[worst])
    wrong = int(np.count_nonzero(~(difference <= 1)))
    raise ParityError(
        f"the converted graph differs from the model on {wrong} of {len(difference)} rows ({what}). For row "
        f"{worst + 1} ({_named(features, cells[worst])}), the model predicts "
        f"{_predicted(recipe, expected.prediction, expected.scores, worst)}, and the graph "
        f"{_predicted(recipe, outputs.prediction, outputs.scores, worst)}; {_ADVICE}"
    )


_ADVICE = (
    "nothing was registered. The graph of an estimator computes with float32: train the model on float32 values, "
    "change the part that differs, or export it to ONNX with double inputs, and pass the file with --onnx"
)


def _differences(outputs: Outputs, expected: Expected, scale: float) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return (n_rows,) differences in units of the tolerance; infinite for another class without a tie."""
    if expected.scores is None:
        allowed = PARITY_TOLERANCE * (np.abs(expected.prediction) + scale)
        difference = np.abs(outputs.prediction.astype(np.float64) - expected.prediction)
        # Equal infinite values, and no division by 0 for a model that always returns 0.
        difference[outputs.prediction == expected.prediction] = 0.0
        return np.divide(difference, allowed, out=np.where(difference > 0, np.inf, 0.0), where=allowed > 0)
    if outputs.scores is None or outputs.scores.shape != expected.scores.shape:
        raise ParityError(f"the converted graph returns another number of probabilities than the model; {_ADVICE}")
    found = np.abs(outputs.scores - expected.scores).max(axis=1) / PARITY_TOLERANCE
    best_two = np.sort(expected.scores, axis=1)[:, -2:]
    tied = best_two[:, 1] - best_two[:, 0] <= PARITY_TOLERANCE
    found[(outputs.prediction != expected.prediction) & ~tied] = np.inf
    return np.asarray(found, dtype=np.float64)


def _predicted(recipe: Recipe, prediction: Any, scores: Any, row: int) -> str:  # noqa: ANN401
    if scores is None:
        return f"{float(prediction[row]):.9g}"
    listed = ", ".join(f"{value:.6f}" for value in scores[row][:SHOWN_CELLS])
    return f"{recipe.classes[int(prediction[row])]!r} with the probabilities {listed}"


def _named(features: Sequence[Feature], row: Sequence[object]) -> str:
    """Return the values of a row with the names of their columns."""
    pairs = zip(features[:SHOWN_CELLS], row[:SHOWN_CELLS], strict=True)
    named = ", ".join(f"{feature.name}={_shown(value)}" for feature, value in pairs)
    return f"{named}, …" if len(features) > SHOWN_CELLS else named


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:40]

"""Run a model on rows and check its outputs, and choose what a caller of MLflow's formats gets from them.

The API and the model that `mlflow.pyfunc` loads both use this module, so that they return the same values.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slipway_core.errors import BundleError, FeaturesError, Problem
from slipway_core.feature_values import kind_of
from slipway_core.graph import Graph, Outputs, RunOptions
from slipway_core.manifest import Manifest, label_text
from slipway_core.printable import SHOWN, shown_text
from slipway_core.rows import Rows

ROUNDING = 1e-3
# The parameter of MLflow's formats that chooses what is returned.
PARAMS = "params"
OUTPUT = "output"
Choice: TypeAlias = Literal["prediction", "probabilities"]
PREDICTION: Choice = "prediction"
PROBABILITIES: Choice = "probabilities"


def answer(graph: Graph, manifest: Manifest, rows: Rows, options: RunOptions | None = None) -> Outputs:
    """Run the graph on rows, as the signature returns them, and clip probabilities to [0, 1].

    Values that are not finite are returned as they are: the input may cause them.

    Args:
        graph: the graph.
        manifest: the manifest of its bundle.
        rows: the rows.
        options: run options, for a run that another thread may terminate.

    Raises:
        BundleError: the graph fails, or contradicts the manifest by the number of rows, an unknown class or invalid
            probabilities.
    """
    outputs = graph.run(rows) if options is None else graph.run(rows, options)
    prediction, scores, classes = outputs.prediction, outputs.scores, manifest.classes
    if len(prediction) != len(rows):
        raise BundleError(f"the graph returns {len(prediction)} predictions for {len(rows)} rows")
    if classes is None:
        return outputs
    if not isinstance(scores, np.ndarray) or scores.shape != (len(rows), len(classes)):
        raise BundleError(f"the graph returns no probabilities for the manifest's {len(classes)} classes")
    if not len(rows):
        return outputs
    lowest, highest = _extremes(prediction)
    if prediction.dtype.kind != "i" or not (lowest >= 0 and highest < len(classes)):
        raise BundleError(f"the graph returns a class that is not one of the manifest's {len(classes)}")
    least, most = _extremes(scores)
    # Sums of float32 may exceed 1 by rounding; a larger excess is an error.
    if (least < -ROUNDING or most > 1 + ROUNDING) and np.isfinite(scores).all():
        raise BundleError("the graph returns scores outside [0, 1]")
    return Outputs(prediction, np.clip(scores, 0, 1)) if least < 0 or most > 1 else outputs


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    if len(values) == 1:  # faster than numpy for one row
        few = values.ravel().tolist()
        return min(few), max(few)
    return values.min(), values.max()


def chosen_output(params: Any, manifest: Manifest) -> Choice:  # noqa: ANN401  # a client may send anything
    """Return the output that the `params` of a request choose; by default, the prediction.

    Raises:
        FeaturesError: the parameters are not an object, unknown, or ask a regressor for probabilities.
    """
    if params is None:
        return PREDICTION
    if not isinstance(params, dict):
        raise FeaturesError([Problem((PARAMS,), f"`params` must be an object, not {kind_of(params)}")])
    for name in params:
        if name != OUTPUT:
            shown = str(name)[:SHOWN]
            raise FeaturesError([Problem((PARAMS, shown), f"unknown parameter {shown!r}; the only one is `{OUTPUT}`")])
    choice = params.get(OUTPUT, PREDICTION)
    if choice == PROBABILITIES and manifest.classes is None:
        message = f"`{OUTPUT}` cannot be `{PROBABILITIES}`: the model predicts numbers, not classes"
        raise FeaturesError([Problem((PARAMS, OUTPUT), message)])
    if choice not in (PREDICTION, PROBABILITIES):
        shown = shown_text(choice) if isinstance(choice, str) else kind_of(choice)
        message = f"`{OUTPUT}` must be `{PREDICTION}` or `{PROBABILITIES}`, not {shown}"
        raise FeaturesError([Problem((PARAMS, OUTPUT), message)])
    return PROBABILITIES if choice == PROBABILITIES else PREDICTION


def labels_as_text(manifest: Manifest) -> tuple[str, ...]:
    """Return the class labels as text, the names of the probabilities; none for a regressor."""
    return tuple(map(label_text, manifest.classes or ()))

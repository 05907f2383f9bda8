"""Convert a fitted scikit-learn estimator to an ONNX graph with the same predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import KBinsDiscretizer, MaxAbsScaler, RobustScaler, StandardScaler

from slipway_core.graph import ports
from slipway_core.manifest import GraphNames
from slipway_trainer.boosting import register_boosting, round_down
from slipway_trainer.converters import HISTOGRAM_MODELS, conversion_functions, register_additions, shape_calculators
from slipway_trainer.errors import TrainingError, reason_of
from slipway_trainer.features import graph_inputs
from slipway_trainer.limits import check_limits
from slipway_trainer.nested import nested, selecting
from slipway_trainer.recipes.columns import Column, is_matrix_of

# The newest opset with which scikit-learn's converters are tested; ONNX Runtime has supported it for years.
OPSET = {"": 17, "ai.onnx.ml": 3}
# Sums of float32 leaf values and scores differ slightly between graph and estimator. The tolerance is absolute for
# probabilities, and for values relative to the sum of their magnitude and the target's standard deviation.
PARITY_TOLERANCE = 1e-5

# Divide by the scale as scikit-learn does. skl2onnx would multiply by its reciprocal, and a tree behind the scaler
# could then decide otherwise for a value close to its threshold.
_SCALERS: Mapping[Any, Any] = {kind: {"div": "div"} for kind in (StandardScaler, RobustScaler, MaxAbsScaler)}


def export(estimator: Any, columns: Sequence[Column], options: Mapping[str, Any]) -> bytes:  # noqa: ANN401  # no types
    """Return the serialised graph of an estimator or pipeline that was fitted on features.

    The graph has one input `X` if the features are a matrix, and otherwise one input per column of the estimator.

    Call `round_to_float32` on the estimator first.

    Args:
        estimator: any estimator that skl2onnx can convert.
        columns: the features.
        options: options for skl2onnx.

    Raises:
        TrainingError: skl2onnx cannot convert the estimator, or would convert it wrongly.
    """
    register_additions()
    register_boosting()
    inputs = graph_inputs(columns)
    texts = [one.name for one in inputs if one.dtype == "string"]
    by_column = not is_matrix_of(columns) and (bool(texts) or selecting(estimator) is not None)
    check_limits(estimator, by_column)
    for one in nested(estimator):
        if isinstance(one, VotingClassifier):
            # skl2onnx requires it. It affects `transform`, but no prediction.
            one.flatten_transform = False
    types: list[tuple[str, Any]] = [("X", FloatTensorType([None, len(inputs)]))]
    if by_column:
        kinds = {"string": StringTensorType, "float32": FloatTensorType}
        types = [(one.name, kinds[one.dtype]([None, 1])) for one in inputs]
    try:
        graph = convert_sklearn(
            estimator,
            # skl2onnx would choose a random name, but the same training must produce the same bytes.
            name="slipway",
            initial_types=types,
            target_opset=OPSET,
            options={id(estimator): dict(options), **_SCALERS},
            custom_conversion_functions=conversion_functions(),
            custom_shape_calculators=shape_calculators(),
        )
    except Exception as error:  # skl2onnx raises any exception of its converters
        raise TrainingError(
            f"{type(estimator).__name__} cannot be exported to ONNX: {reason_of(error)}; change that part, or replace "
            "it with an estimator that skl2onnx supports"
        ) from error
    graph.producer_name = "slipway"
    # skl2onnx collects these in a set, but the same training must produce the same bytes.
    opsets = sorted(graph.opset_import, key=lambda opset: str(opset.domain))
    del graph.opset_import[:]
    graph.opset_import.extend(opsets)
    names = [one.name for one in inputs]
    if by_column:
        _name_inputs(graph, names)
    elif not is_matrix_of(columns):
        _split_input(graph, names)
    content: bytes = graph.SerializeToString()
    return content


def _name_inputs(graph: onnx.ModelProto, names: Sequence[str]) -> None:
    """Give the inputs the names of the columns: skl2onnx allows only identifiers, and no name of another tensor."""
    current = [port.name for port in graph.graph.input]
    inner = _tensors(graph) - set(current)
    _rename(graph, {**_free_names(names, inner), **dict(zip(current, names, strict=True))})


def _tensors(graph: onnx.ModelProto) -> set[str]:
    """Return the names of all tensors of a graph."""
    body = graph.graph
    ports = {item.name for items in (body.input, body.output, body.initializer) for item in items}
    return ports.union(*(set(node.input) | set(node.output) for node in body.node))


def _free_names(names: Sequence[str], tensors: set[str]) -> dict[str, str]:
    """Return a new name for each tensor that has one of the names."""
    found: dict[str, str] = {}
    for name in sorted(tensors & set(names)):
        new = f"{name}_"
        while new in tensors or new in names or new in found.values():
            new += "_"
        found[name] = new
    return found


def _rename(graph: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Rename tensors wherever they occur."""
    body = graph.graph
    for items in (body.input, body.output, body.initializer, body.value_info):
        for item in items:
            item.name = names.get(item.name, item.name)
    for node in body.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _split_input(graph: onnx.ModelProto, names: Sequence[str]) -> None:
    """Replace the input `X` by one input per column."""
    _rename(graph, _free_names(names, _tensors(graph)))
    matrix = graph.graph.input[0].name
    columns = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names]
    del graph.graph.input[:]
    graph.graph.input.extend(columns)
    graph.graph.node.insert(0, helper.make_node("Concat", list(names), [matrix], axis=1))


def graph_names(model: bytes) -> GraphNames:
    """Return the names of a serialised graph's outputs, which depend on the converter.

    Raises:
        TrainingError: the outputs are neither one float value, nor an integer label with float scores.
    """
    _, outputs = ports(model)
    floats = [port.name for port in outputs if port.kind in {"tensor(float)", "tensor(double)"}]
    labels = [port.name for port in outputs if port.kind in {"tensor(int64)", "tensor(int32)"}]
    if len(floats) != 1 or len(labels) > 1 or len(outputs) != len(floats) + len(labels):
        found = ", ".join(f"{port.name} {port.kind}" for port in outputs)
        raise TrainingError(
            f"its graph returns {found}; a regressor must return one float tensor, and a classifier an integer label "
            "and one float tensor of probabilities"
        )
    return GraphNames(label=(labels or floats)[0], scores=floats[0] if labels else None)


def round_to_float32(estimator: Any) -> None:  # noqa: ANN401
    """Round a fitted estimator's thresholds to float32 without changing its predictions for float32 rows.

    scikit-learn compares with float64 thresholds, but the graph stores float32. Rounding to the nearest float32 would
    change the result for a value close to the threshold. For `x <= t`, the largest float32 up to t gives the same
    result for every float32 x; for `x >= t`, the smallest float32 from t on. skl2onnx rounds trees of forests itself.
    """
    for one in nested(estimator):
        if isinstance(one, HISTOGRAM_MODELS):
            for predictors in getattr(one, "_predictors", ()):  # they have no public name
                for predictor in predictors:
                    predictor.nodes["num_threshold"] = round_down(predictor.nodes["num_threshold"])
        elif isinstance(one, KBinsDiscretizer):
            for column, edges in enumerate(getattr(one, "bin_edges_", ())):
                one.bin_edges_[column] = -round_down(-edges)

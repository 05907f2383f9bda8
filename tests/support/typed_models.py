"""Served models whose inputs are typed columns: classifiers with labels of each type, and a regressor."""

from typing import Any, NamedTuple

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from slipway_core.bundle import Golden, GoldenOutputs
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.graph import Graph
from slipway_core.manifest import Decision, GraphNames, Label
from slipway_core.table_signature import TableSignature
from support.bundles import bundle_files

CITIES = ("Bern", "Zürich, HB", "Lugano")
TABLE_COLUMNS = (
    InputColumn(name="color", dtype="string", categories=("red", "green", "blue")),
    InputColumn(
        name="city", dtype="string", nullable=True, missing="(missing)", categories=CITIES, on_unknown="ignore"
    ),
    InputColumn(name="weight", dtype="float32", nullable=True, min=0.1, max=90.5),
    InputColumn(name="price", dtype="float64", min=0.0, max=1e6),
    InputColumn(name="size", dtype="float32", categories=(0.1, 2.0, 37.5)),
    InputColumn(name="count", dtype="int64", min=0, max=1000),
    InputColumn(name="visits", dtype="int64", nullable=True, min=1),
    InputColumn(name="member", dtype="bool"),
    InputColumn(name="consent", dtype="bool", nullable=True),
    InputColumn(name="day", dtype="date"),
    InputColumn(name="seen", dtype="date", nullable=True),
)
TABLE_INPUTS = (
    GraphInput(name="color", dtype="string", shape=(1,), column="color"),
    GraphInput(name="city", dtype="string", shape=(1,), column="city"),
    GraphInput(name="weight", dtype="float32", shape=(1,), column="weight"),
    GraphInput(name="price", dtype="float64", shape=(1,), column="price"),
    GraphInput(name="size", dtype="float32", shape=(1,), column="size"),
    GraphInput(name="count", dtype="int64", shape=(1,), column="count"),
    GraphInput(name="visits", dtype="float32", shape=(1,), column="visits"),
    GraphInput(name="member", dtype="bool", shape=(1,), column="member"),
    GraphInput(name="consent", dtype="float32", shape=(1,), column="consent"),
    GraphInput(name="day_year", dtype="float32", shape=(1,), column="day", part="year"),
    GraphInput(name="day_month", dtype="float32", shape=(1,), column="day", part="month"),
    GraphInput(name="day_weekday", dtype="float32", shape=(1,), column="day", part="weekday"),
    GraphInput(name="seen_hour", dtype="float32", shape=(1,), column="seen", part="hour"),
)
TABLE_NAMES = tuple(column.name for column in TABLE_COLUMNS)
TABLE_SIGNATURE = TableSignature(TABLE_COLUMNS, TABLE_INPUTS)
# Valid rows, in the order of the columns.
TABLE_ROWS: tuple[tuple[Any, ...], ...] = (
    ("red", "Bern", 12.5, 19.99, 0.1, 3, 7, True, False, "2026-11-21", "2026-11-21T08:30"),
    ("green", None, None, 0.0, 2.0, 0, None, False, None, "2024-02-29T23:59:59Z", None),
    ("blue", "a\n\"new\" city, 'no' category", 90.5, 1e6, 37.5, 1000, 2**24, True, True, "1999-12-31", "2000-01-01"),
    ("red", "Zürich, HB", 0.1, 123456.789, 2.0, 42, 1, False, True, "2026-11-22 00:00", "2026-11-21T23:05+01:00"),
)
TENSOR_TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


class Kind(NamedTuple):
    """What a table model predicts; a regressor has no classes."""

    classes: tuple[Label, ...] | None
    labels: tuple[str | int, ...] | None = None
    decision: Decision | None = None


KINDS = {
    "texts": Kind(("cheap", "fair", "dear"), labels=("c", "f", "d")),
    "integers": Kind((10, 20, -30), labels=(7, 3, 5)),
    "booleans": Kind((False, True), decision=Decision(positive_class=1, threshold=0.4)),
    "values": Kind(None),
}


def table_graph(kind: Kind) -> bytes:
    """Return a serialised graph with an input per column or part of a date, each of which changes the outputs."""
    width = 1 if kind.classes is None else len(kind.classes)
    nodes = [node for tensor in TABLE_INPUTS for node in _number_nodes(tensor)]
    nodes.append(helper.make_node("Concat", [f"{tensor.name}_n" for tensor in TABLE_INPUTS], ["X"], axis=1))
    nodes.append(helper.make_node("MatMul", ["X", "W"], ["products"]))
    outputs = [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, 1])]
    if kind.classes is None:
        nodes.append(helper.make_node("Identity", ["products"], ["value"]))
    else:
        nodes.append(helper.make_node("Softmax", ["products"], ["probabilities"], axis=1))
        nodes.append(helper.make_node("ArgMax", ["products"], ["index"], axis=1, keepdims=0))
        nodes.append(_label_node(kind))
        is_text = kind.labels is not None and isinstance(kind.labels[0], str)
        outputs = [
            helper.make_tensor_value_info("label", TensorProto.STRING if is_text else TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, width]),
        ]
    weights = np.random.default_rng(1).normal(size=(len(TABLE_INPUTS), width)).astype(np.float32)
    scales = {"price": 1e-6, "count": 1e-3, "visits": 1e-7, "weight": 1e-2, "size": 1e-2, "day_year": 1e-4}
    weights *= np.array([[scales.get(tensor.name, 0.1)] for tensor in TABLE_INPUTS], dtype=np.float32)
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info(tensor.name, TENSOR_TYPES[tensor.dtype], [None, 1]) for tensor in TABLE_INPUTS],
        outputs,
        [numpy_helper.from_array(weights, "W"), numpy_helper.from_array(np.array(-1, dtype=np.float32), "gap")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def _number_nodes(tensor: GraphInput) -> list[NodeProto]:
    """Return nodes that turn an input into (n, 1) float32 without NaN, named after it with `_n`."""
    name, result = tensor.name, f"{tensor.name}_n"
    if tensor.dtype == "string":
        keys = ("red", "green", "blue", "(missing)", *CITIES)
        values = [float(index + 1) for index in range(len(keys))]
        encode = {"keys_strings": keys, "values_floats": values, "default_float": 9.0}
        return [helper.make_node("LabelEncoder", [name], [result], domain="ai.onnx.ml", **encode)]
    return [
        helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
        helper.make_node("IsNaN", [f"{name}_f"], [f"{name}_gap"]),
        helper.make_node("Where", [f"{name}_gap", "gap", f"{name}_f"], [result]),
    ]


def _label_node(kind: Kind) -> NodeProto:
    if kind.labels is None:
        return helper.make_node("Identity", ["index"], ["label"])
    keys = {"keys_int64s": range(len(kind.labels))}
    values = "values_strings" if isinstance(kind.labels[0], str) else "values_int64s"
    return helper.make_node("LabelEncoder", ["index"], ["label"], domain="ai.onnx.ml", **keys, **{values: kind.labels})


def table_files(name: str, kind: Kind) -> dict[str, bytes]:
    """Return the files of a table model's bundle."""
    graph = table_graph(kind)
    is_classifier = kind.classes is not None
    names = GraphNames(
        label="label" if is_classifier else "value",
        scores="probabilities" if is_classifier else None,
        labels=kind.labels,
    )
    outputs = Graph(graph, names, kind.decision).run(TABLE_SIGNATURE.rows([list(row) for row in TABLE_ROWS]))
    scores = None if outputs.scores is None else outputs.scores.tolist()
    expected = GoldenOutputs(prediction=outputs.prediction.tolist(), scores=scores)
    return bundle_files(
        name,
        graph,
        Golden(rows=TABLE_ROWS, outputs=expected, rtol=1e-5, atol=1e-5),
        task="classification" if is_classifier else "regression",
        columns=TABLE_COLUMNS,
        inputs=TABLE_INPUTS,
        graph=names,
        classes=kind.classes,
        decision=kind.decision,
    )

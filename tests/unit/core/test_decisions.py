"""The classes that a graph predicts: by a decision threshold, and from its own labels of text or integers."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from slipway_core.errors import BundleError
from slipway_core.graph import Graph
from slipway_core.manifest import Decision, GraphNames
from support.typed_models import KINDS, TABLE_INPUTS, TABLE_ROWS, TABLE_SIGNATURE, table_graph

THIRD, SEVENTH = float(np.float32(0.3)), float(np.float32(0.7))


def echo(labels: tuple[str | int, ...] | None = None, width: int = 2) -> bytes:
    """Return a graph whose probabilities are its inputs, and whose label is that of the greatest or 0."""
    nodes = [
        helper.make_node("Identity", ["X"], ["scores"]),
        helper.make_node("ArgMax", ["X"], ["index"], axis=1, keepdims=0),
    ]
    kind = TensorProto.INT64
    if labels is None:
        nodes.append(helper.make_node("Identity", ["index"], ["label"]))
    else:
        is_text = isinstance(labels[0], str)
        kind = TensorProto.STRING if is_text else TensorProto.INT64
        encode: dict[str, Any] = {"keys_int64s": range(len(labels))}
        encode["values_strings" if is_text else "values_int64s"] = labels
        nodes.append(helper.make_node("LabelEncoder", ["index"], ["label"], domain="ai.onnx.ml", **encode))
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, width])]
    outputs = [
        helper.make_tensor_value_info("label", kind, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, width]),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "echo", inputs, outputs)
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


@pytest.mark.parametrize(
    ("positive", "threshold", "scores", "expected"),
    [
        (1, 0.7, (0.3, 0.7), 1),  # as float32, 0.7 is less than in float64
        (1, 0.7, (1 - SEVENTH, np.nextafter(np.float32(0.7), np.float32(0))), 0),
        (1, 0.1, (0.9, 0.1), 1),
        (1, 0.9, (0.2, 0.8), 0),
        (1, 0.5, (0.5, 0.5), 1),
        (0, 0.3, (0.3, 0.7), 0),
        (0, 0.3, (np.nextafter(np.float32(0.3), np.float32(0)), 1 - THIRD), 1),
        (0, 0.9, (0.8, 0.2), 1),
    ],
)
def test_threshold_decides_the_class(
    positive: int, threshold: float, scores: tuple[float, float], expected: int
) -> None:
    decision = Decision(positive_class=positive, threshold=threshold)
    graph = Graph(echo(), GraphNames(label="label", scores="scores"), decision)

    outputs = graph.run(np.array([scores, (0.0, 1.0), (1.0, 0.0)], dtype=np.float32))

    assert outputs.prediction.dtype == np.int64
    assert outputs.prediction.tolist() == [expected, 1, 0]


@pytest.mark.parametrize("names", [GraphNames(label="label"), GraphNames(label="label", scores="scores")])
def test_threshold_needs_probabilities_of_two_classes(names: GraphNames) -> None:
    graph = Graph(echo(width=3), names, Decision(positive_class=1, threshold=0.5))

    with pytest.raises(BundleError, match="a decision needs the probabilities of two classes"):
        graph.run(np.zeros((1, 3), dtype=np.float32))


@pytest.mark.parametrize("labels", [("b", "a"), ("ä", "a longer label"), (7, -3)])
@pytest.mark.parametrize("decision", [None, Decision(positive_class=0, threshold=0.9)])
def test_own_labels_become_indices(labels: tuple[str | int, ...], decision: Decision | None) -> None:
    graph = Graph(echo(labels), GraphNames(label="label", scores="scores", labels=labels), decision)

    outputs = graph.run(np.array([[0.2, 0.8], [0.8, 0.2], [0.95, 0.05]], dtype=np.float32))

    assert outputs.prediction.tolist() == ([1, 0, 0] if decision is None else [1, 1, 0])


@pytest.mark.parametrize(
    ("made", "stated", "words"),
    [
        (("a", "b"), ("a", "c"), "a label that is not in its own list of classes"),
        (("a", "b"), (1, 2), "do not have the type that the manifest states"),
        ((1, 2), ("1", "2"), "do not have the type that the manifest states"),
        ((1, 2), (1, 3), "a label that is not in its own list of classes"),
    ],
)
def test_other_labels_are_rejected(made: Any, stated: Any, words: str) -> None:
    graph = Graph(echo(made), GraphNames(label="label", scores="scores", labels=stated))

    with pytest.raises(BundleError, match=words):
        graph.run(np.array([[0.2, 0.8]], dtype=np.float32))


def test_graph_takes_a_table() -> None:
    kind = KINDS["texts"]
    graph = Graph(table_graph(kind), GraphNames(label="label", scores="probabilities", labels=kind.labels))

    graph.check_inputs(TABLE_INPUTS)
    outputs = graph.run(TABLE_SIGNATURE.rows([list(row) for row in TABLE_ROWS]))

    assert set(outputs.prediction.tolist()) == {0, 1, 2}


def test_every_column_of_the_test_model_changes_its_outputs() -> None:
    graph = Graph(table_graph(KINDS["values"]), GraphNames(label="value"))
    rows = [list(TABLE_ROWS[0])]
    for index, value in enumerate(TABLE_ROWS[2]):
        other = value if value != TABLE_ROWS[0][index] else not value
        rows.append([other if place == index else one for place, one in enumerate(TABLE_ROWS[0])])

    values = graph.run(TABLE_SIGNATURE.rows(rows)).prediction.tolist()

    assert values[0] not in values[1:]


@pytest.mark.parametrize(("index", "changes"), [(0, {"dtype": "int64"}), (3, {"dtype": "float32"}), (9, {"name": "y"})])
def test_graph_with_other_inputs_is_rejected(index: int, changes: dict[str, Any]) -> None:
    graph = Graph(table_graph(KINDS["values"]), GraphNames(label="value"))
    inputs = [one.model_copy(update=changes) if place == index else one for place, one in enumerate(TABLE_INPUTS)]

    with pytest.raises(BundleError, match=r"the graph's inputs are color \(string\), .*export it again"):
        graph.check_inputs(inputs)

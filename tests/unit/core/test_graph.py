"""The graph: which models load, their outputs, and the replay of the golden rows."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, ValueInfoProto, helper

from slipway_core.bundle import Golden, GoldenOutputs
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, replay
from slipway_core.manifest import GraphNames
from slipway_core.signature import Signature
from support.bundles import BIAS, FEATURES, GOLDEN_ROWS, NAMES, golden_of, linear_classifier, regressor

SIGNATURE = Signature([InputColumn(name=name, dtype="float32") for name in FEATURES])
X = GraphInput(name="X", dtype="float32", shape=(4,))
REGRESSOR_NAMES = GraphNames(label="value")
ROWS = np.array(GOLDEN_ROWS, dtype=np.float32)


def classifier_that_ends_in(label: ValueInfoProto, scores: ValueInfoProto, *last: tuple[str, str, str]) -> bytes:
    """Return a graph of four features whose outputs are of unusual types.

    Args:
        label: the type of the output `label`.
        scores: the type of the output `probabilities`.
        last: the operators that make them, as (operator, input, output); the index of the greatest feature is
            called `index`.
    """
    domains = {"ZipMap": "ai.onnx.ml", "LabelEncoder": "ai.onnx.ml"}
    attributes: dict[str, dict[str, Any]] = {
        "ZipMap": {"classlabels_int64s": [0, 1, 2, 3]},
        "LabelEncoder": {"keys_int64s": [0, 1, 2, 3], "values_strings": ["a", "b", "c", "d"]},
        "Softmax": {"axis": 1},
    }
    nodes = [helper.make_node("ArgMax", ["X"], ["index"], axis=1, keepdims=0)]
    nodes += [
        helper.make_node(kind, [taken], [given], domain=domains.get(kind, ""), **attributes.get(kind, {}))
        for kind, taken, given in last
    ]
    features = helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 4])
    graph = helper.make_graph(nodes, "unusual", [features], [label, scores])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def with_string_labels() -> bytes:
    """Return a graph like those that scikit-learn's classifiers of named classes are exported to."""
    return classifier_that_ends_in(
        helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 4]),
        ("LabelEncoder", "index", "label"),
        ("Softmax", "X", "probabilities"),
    )


def with_scores_in_dictionaries() -> bytes:
    """Return a graph like those that skl2onnx makes unless `zipmap` is off."""
    entry = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    return classifier_that_ends_in(
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_value_info("probabilities", helper.make_sequence_type_proto(entry)),
        ("Identity", "index", "label"),
        ("ZipMap", "X", "probabilities"),
    )


def golden_with(**changes: Any) -> Golden:
    """Return the golden rows of the linear classifier with some of their outputs set."""
    golden = golden_of(linear_classifier())
    outputs: dict[str, Any] = {name: changes.pop(name) for name in ("prediction", "scores") if name in changes}
    return golden.model_copy(update={**changes, "outputs": golden.outputs.model_copy(update=outputs)})


# Load and run


def test_a_classifier_gives_class_indices_and_probabilities() -> None:
    outputs = Graph(linear_classifier(), NAMES).run(ROWS)

    assert outputs.prediction.tolist() == [0, 1, 2]
    assert outputs.prediction.dtype == np.int64
    assert outputs.scores is not None
    assert outputs.scores.shape == (3, 3)
    assert outputs.scores.dtype == np.float32
    assert np.allclose(outputs.scores.sum(axis=1), 1.0)


def test_a_regressor_gives_one_value_a_row_and_no_scores() -> None:
    outputs = Graph(regressor(), REGRESSOR_NAMES).run(ROWS)

    assert outputs.prediction.shape == (3,)
    assert np.allclose(outputs.prediction, ROWS.sum(axis=1))
    assert outputs.scores is None


def test_unrequested_scores_are_not_returned() -> None:
    names = GraphNames(label="label")

    assert Graph(linear_classifier(), names).run(ROWS).scores is None


def test_threads_may_share_a_graph() -> None:
    graph = Graph(linear_classifier(), NAMES)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: graph.run(ROWS).prediction.tolist(), range(100)))

    assert answers == [[0, 1, 2]] * 100


# Models that do not load


@pytest.mark.parametrize("model", [b"", b"not a graph", linear_classifier()[:-40]], ids=["empty", "text", "cut short"])
def test_invalid_graph_is_rejected(model: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        Graph(model, NAMES)

    assert str(caught.value) == "the graph cannot be loaded: it is not a valid ONNX model; export it again"


def test_input_with_another_name_is_rejected() -> None:
    with pytest.raises(BundleError) as caught:
        Graph(linear_classifier(input_name="rows"), NAMES).check_inputs([X])

    assert str(caught.value) == (
        "the graph's inputs are rows (float32), but the manifest names X (float32): export it again"
    )


def test_graph_with_a_second_input_is_rejected() -> None:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4]) for name in ("X", "mask")]
    output = helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, 4])
    graph = helper.make_graph([helper.make_node("Mul", ["X", "mask"], ["value"])], "masked", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    with pytest.raises(BundleError, match=r"^the graph's inputs are X \(float32\), mask \(float32\), but the manifest"):
        Graph(model.SerializeToString(), REGRESSOR_NAMES).check_inputs([X])


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (GraphNames(label="class", scores="probabilities"), "class"),
        (GraphNames(label="label", scores="odds"), "odds"),
        (GraphNames(label="class", scores="odds"), "class, odds"),
    ],
)
def test_missing_output_is_rejected(names: GraphNames, missing: str) -> None:
    with pytest.raises(BundleError) as caught:
        Graph(linear_classifier(), names)

    assert str(caught.value) == f"the graph has no output named {missing}, which the manifest names"


def test_rows_of_another_width_are_rejected() -> None:
    graph = Graph(linear_classifier(), NAMES)

    with pytest.raises(BundleError, match=r"^the graph fails on valid rows; export it again$"):
        graph.run(ROWS[:, :3])


# Replay


@pytest.mark.parametrize(("model", "names"), [(linear_classifier(), NAMES), (regressor(), REGRESSOR_NAMES)])
def test_graph_that_equals_its_golden_rows_passes(model: bytes, names: GraphNames) -> None:
    replay(Graph(model, names), golden_of(model, names), SIGNATURE)


def test_a_difference_within_the_tolerance_passes() -> None:
    golden = golden_of(linear_classifier())
    assert golden.outputs.scores is not None
    nearly = tuple(tuple(score + 5e-6 for score in row) for row in golden.outputs.scores)

    replay(Graph(linear_classifier(), NAMES), golden_with(scores=nearly), SIGNATURE)


SHIFTED = linear_classifier(BIAS + np.array([0.0, 0.01, 0.0], dtype=np.float32))
BROKEN = linear_classifier(np.array([np.nan, 1.5, -6.5], dtype=np.float32))


@pytest.mark.parametrize(
    ("model", "golden", "found"),
    [
        (linear_classifier(), golden_with(prediction=(0.0, 2.0, 2.0)), "row 1, the graph's prediction and"),
        (linear_classifier(), golden_with(prediction=(0.0, 2.0, 2.0), atol=1.0), "row 1, the graph's prediction and"),
        (SHIFTED, golden_of(linear_classifier()), "row 0, the graph's scores and"),
        (BROKEN, golden_of(BROKEN), "row 0, the graph's scores and"),
    ],
    ids=["another class", "another class within the tolerance", "other scores", "NaN"],
)
def test_different_output_is_rejected_with_its_row(model: bytes, golden: Golden, found: str) -> None:
    with pytest.raises(BundleError, match=rf"^for golden {found} golden.json differ"):
        replay(Graph(model, NAMES), golden, SIGNATURE)


def test_different_value_of_a_regressor_is_rejected_with_its_row() -> None:
    golden = golden_of(regressor(), REGRESSOR_NAMES)
    *values, last = golden.outputs.prediction
    other = golden.model_copy(update={"outputs": GoldenOutputs(prediction=(*values, last * 1.001))})

    with pytest.raises(BundleError, match=r"^for golden row 2, the graph's prediction and golden.json differ"):
        replay(Graph(regressor(), REGRESSOR_NAMES), other, SIGNATURE)


@pytest.mark.parametrize(
    ("names", "scores"),
    [
        (NAMES, None),
        (NAMES, ((0.9, 0.1),) * 3),
        (NAMES, ((0.9, 0.1, 0.0), (1.0,), (0.9, 0.1, 0.0))),
        (GraphNames(label="label"), ((0.9, 0.1, 0.0),) * 3),
    ],
    ids=["none", "of two classes", "of different lengths", "none in the graph"],
)
def test_scores_of_another_shape_are_rejected(names: GraphNames, scores: object) -> None:
    with pytest.raises(BundleError, match=r"^the scores of the golden rows and of golden.json differ in shape"):
        replay(Graph(linear_classifier(), names), golden_with(scores=scores), SIGNATURE)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (with_string_labels(), "labels are not numbers: export the classes as indices"),
        (with_scores_in_dictionaries(), "the scores of the golden rows and of golden.json differ in shape"),
    ],
    ids=["labels", "scores"],
)
def test_graph_without_numeric_tensor_outputs_is_rejected(model: bytes, words: str) -> None:
    golden = golden_with(prediction=(0.0, 0.0, 0.0), scores=((0.25, 0.25, 0.25, 0.25),) * 3)

    with pytest.raises(BundleError, match=words):
        replay(Graph(model, NAMES), golden, SIGNATURE)

"""The labels of a classifier's scores: read if the graph proves them, and rejected with a reason otherwise."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from slipway_core.errors import BundleError
from slipway_core.graph import Graph
from slipway_core.manifest import GraphNames
from slipway_core.onnx_labels import find_class_labels

NAMES = GraphNames(label="label", scores="scores")
ROWS = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
ONE, TWO, FLAT, COLUMN = "one", "two", "flat", "column"
CONSTANTS: dict[str, Any] = {
    "classes": np.array([30, -10, 20]),
    "classes32": np.array([30, -10, 20], np.int32),
    "row": np.array([[30, -10, 20]]),
    "square": np.array([[30, -10, 20]] * 3),
    "two classes": np.array([3, 4]),
    "floats": np.array([30, -10, 20], np.float32),
    "alike": np.array([1, 1, 2]),
    "large": np.array([2**24, 2**24 + 1, 3]),
    "largest": np.array([2**63 - 1, 1, 2]),
    "second": np.array([1, 2, 0]),
    "bias": np.array([0, 1, 2], np.float32),
    "scalar": np.array(1),
    ONE: np.array([1]),
    TWO: np.array([0]),
    FLAT: np.array([-1]),
    COLUMN: np.array([-1, 1]),
}
ML = frozenset({"ArrayFeatureExtractor", "LabelEncoder", "LinearClassifier", "Normalizer"})


def op(kind: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    """Return a node; its inputs are separated by commas."""
    domain = "ai.onnx.ml" if kind in ML else ""
    return helper.make_node(kind, inputs.split(","), output.split(","), domain=domain, **attributes)


def classifier(*nodes: NodeProto, constants: Iterable[str] = CONSTANTS) -> ModelProto:
    """Return a graph of three features, whose outputs are `label` and `scores`."""
    features = helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 3])
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, None),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, None),
    ]
    tensors = [numpy_helper.from_array(CONSTANTS[name], name) for name in constants]
    graph = helper.make_graph(nodes, "g", [features], outputs, tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def linear(output: str = "label,scores", **attributes: Any) -> NodeProto:
    attributes = {"classlabels_ints": [30, -10, 20], **attributes}
    numbers = {"coefficients": [1.0, 0, 0, 0, 1, 0, 0, 0, 1], "intercepts": [0.0] * 3, "post_transform": "SOFTMAX"}
    return op("LinearClassifier", "X", output, **numbers, **attributes)


def cast(inputs: str, output: str, to: int = TensorProto.INT64) -> NodeProto:
    return op("Cast", inputs, output, to=to)


SOFTMAX = op("Softmax", "X", "scores", axis=1)
INDEX = op("ArgMax", "scores", "i", axis=1, keepdims=0)
GATHER = op("Gather", "classes,i", "label")
LABELS = (30, -10, 20)


def argmax(tensor: str) -> list[NodeProto]:
    """Return nodes that look up the label at the ArgMax of a tensor."""
    return [op("ArgMax", tensor, "i", axis=1), GATHER]


def through(to: int, labels: str = "classes") -> list[NodeProto]:
    """Return nodes that cast the looked-up labels to a type and back."""
    return [SOFTMAX, INDEX, op("Gather", f"{labels},i", "g"), cast("g", "n", to), cast("n", "label")]


PROVEN = {
    "an index": ([SOFTMAX, op("ArgMax", "scores", "label", axis=1)], (0, 1, 2)),
    "the last axis": ([SOFTMAX, op("ArgMax", "scores", "label", axis=-1)], (0, 1, 2)),
    "the last index": ([SOFTMAX, op("ArgMax", "scores", "label", axis=1, select_last_index=1)], (0, 1, 2)),
    "of the logits": ([SOFTMAX, *argmax("X")], LABELS),
    "of casts and copies": (
        [op("Identity", "X", "a"), SOFTMAX, cast("a", "b", TensorProto.DOUBLE), *argmax("b")],
        LABELS,
    ),
    "of another branch": ([SOFTMAX, op("Sigmoid", "X", "s"), *argmax("s")], LABELS),
    "less the sum": (
        [
            op("ReduceLogSumExp", "X", "r", axes=[1], keepdims=0),
            op("Reshape", f"r,{COLUMN}", "c"),
            op("Sub", "X,c", "log"),
            op("Exp", "log", "scores"),
            *argmax("X"),
        ],
        LABELS,
    ),
    "divided by the sum": (
        [op("Exp", "X", "e"), op("ReduceSum", f"e,{ONE}", "sum"), op("Div", "e,sum", "scores"), *argmax("X")],
        LABELS,
    ),
    "divided by the sum of magnitudes": (
        [
            op("Sigmoid", "X", "e"),
            op("Abs", "e", "magnitudes"),
            op("ReduceSum", f"magnitudes,{ONE}", "sum"),
            op("Div", "e,sum", "scores"),
            *argmax("X"),
        ],
        LABELS,
    ),
    "a 32-bit list": ([SOFTMAX, INDEX, op("Gather", "classes32,i", "g"), cast("g", "label")], LABELS),
    "an extractor": ([SOFTMAX, INDEX, op("ArrayFeatureExtractor", "classes,i", "label")], LABELS),
    "an extractor of a row": ([SOFTMAX, INDEX, op("ArrayFeatureExtractor", "row,i", "label")], LABELS),
    "casts that keep labels": (through(TensorProto.FLOAT), LABELS),
    "other shapes": (
        [SOFTMAX, INDEX, op("Gather", "classes,i", "g"), op("Unsqueeze", f"g,{ONE}", "u"), op("Flatten", "u", "label")],
        LABELS,
    ),
    "a classifier": ([linear()], LABELS),
    "a normalised classifier": ([linear("label,s"), op("Normalizer", "s", "scores", norm="L1")], LABELS),
    "copies of a classifier": ([linear("l,s"), op("Identity", "l", "label"), op("Identity", "s", "scores")], LABELS),
}

# Graphs that ONNX Runtime runs, but that do not prove their labels.
UNPROVEN = {
    "the rows": ([SOFTMAX, op("ArgMax", "scores", "i", axis=0), GATHER], "ArgMax over axis 0"),
    "no axis": ([SOFTMAX, op("ArgMax", "scores", "i"), GATHER], "ArgMax over axis 0"),
    "the rows from the end": ([SOFTMAX, op("ArgMax", "scores", "i", axis=-2), GATHER], "ArgMax over axis -2"),
    "an ArgMin": ([SOFTMAX, op("ArgMin", "scores", "i", axis=1), GATHER], "does not show .* 'ArgMin'"),
    "other scores": ([SOFTMAX, op("Neg", "X", "n"), *argmax("n")], "an ArgMax of 'n', and nothing proves"),
    "a bias": ([SOFTMAX, op("Add", "X,bias", "n"), *argmax("n")], "nothing proves"),
    "other columns": ([SOFTMAX, op("Gather", "X,second", "n", axis=1), *argmax("n")], "nothing proves"),
    "a softmax over rows": ([op("Softmax", "X", "scores", axis=0), *argmax("X")], "nothing proves"),
    "a truncation": ([SOFTMAX, cast("X", "n"), *argmax("n")], "nothing proves"),
    "a maximum that divides": ([op("Normalizer", "X", "scores", norm="MAX"), *argmax("X")], "nothing proves"),
    "a sum of columns": (
        [op("ReduceSum", f"X,{TWO}", "sum"), op("Div", "X,sum", "scores"), *argmax("X")],
        "nothing proves",
    ),
    "a sum of other magnitudes": (
        [
            op("Sigmoid", "X", "e"),
            op("Abs", "bias", "magnitudes"),
            op("ReduceSum", f"magnitudes,{TWO}", "sum"),
            op("Div", "e,sum", "scores"),
            *argmax("X"),
        ],
        "nothing proves",
    ),
    "less the sum of magnitudes": (
        [
            op("Abs", "X", "magnitudes"),
            op("ReduceSum", f"magnitudes,{ONE}", "sum"),
            op("Sub", "sum,X", "scores"),
            *argmax("X"),
        ],
        "nothing proves",
    ),
    "the scores that are subtracted": (
        [op("ReduceMax", "X", "r", axes=[1]), op("Sub", "r,X", "scores"), *argmax("X")],
        "nothing proves",
    ),
    "a narrow cast": (through(TensorProto.INT8, "large"), "casts its labels to int8"),
    "an unsigned cast": (through(TensorProto.UINT32), "casts its labels to uint32"),
    "a cast to bool": (through(TensorProto.BOOL), "casts its labels to bool"),
    "a rounding cast": (through(TensorProto.FLOAT, "large"), "casts its labels to float32"),
    "the largest integer": (through(TensorProto.DOUBLE, "largest"), "casts its labels to float64"),
    "a cast of the index": (
        [SOFTMAX, INDEX, cast("i", "b", TensorProto.BOOL), cast("b", "j"), op("Gather", "classes,j", "label")],
        "casts its labels to bool",
    ),
    "a cast of classes": (
        [linear("l,scores"), cast("l", "b", TensorProto.BOOL), cast("b", "label")],
        "casts its labels to bool",
    ),
    "a cast to text": (through(TensorProto.STRING), "casts its labels to the ONNX type 8"),
    "a computed index": (
        [SOFTMAX, INDEX, op("Sub", f"{ONE},i", "j"), op("Gather", "classes,j", "label")],
        "does not show .* 'Sub'",
    ),
    "a constant index": ([SOFTMAX, op("Gather", f"classes,{ONE}", "label")], f"come from the tensor '{ONE}'"),
    "the input as index": (
        [SOFTMAX, cast("X", "i"), op("Clip", "i,scalar,scalar", "j"), op("Gather", "classes,j", "label")],
        "does not show .* 'Clip'",
    ),
    "two lookups": ([SOFTMAX, INDEX, op("Gather", "second,i", "j"), op("Gather", "classes,j", "label")], "'Gather'"),
    "a matrix of labels": (
        [SOFTMAX, INDEX, op("Gather", "square,i", "g", axis=1), op("Squeeze", "g", "label")],
        "'square', which is not a constant list",
    ),
    "a row of labels": ([SOFTMAX, INDEX, op("Gather", "row,i", "label", axis=1)], "not a constant list"),
    "computed labels": (
        [SOFTMAX, INDEX, op("Abs", "classes", "a"), op("Gather", "a,i", "label")],
        "'a', which is not a constant list",
    ),
    "a list of floats": (
        [SOFTMAX, INDEX, op("Gather", "floats,i", "g"), cast("g", "label")],
        "'floats' does not contain integers",
    ),
    "equal labels": ([SOFTMAX, INDEX, op("Gather", "alike,i", "label")], "lists 3 classes"),
    "few labels": (
        [SOFTMAX, INDEX, op("Clip", "i,,scalar", "j"), op("Gather", "two classes,j", "label")],
        "lists 2 classes, but returns 3",
    ),
    "labels that change": ([linear("l,scores"), op("Neg", "l", "label")], "does not show .* 'Neg'"),
    "encoded labels": (
        [linear("l,scores"), op("Abs", "l", "a"), op("Sub", f"a,{ONE}", "label")],
        "does not show .* 'Sub'",
    ),
    "scores as labels": (
        [linear("l,scores"), cast("scores", "n"), op("ArgMax", "n", "label", axis=0)],
        "ArgMax over axis 0",
    ),
    "a classifier's scores": ([linear("l,scores"), cast("scores", "label")], "not that operator's scores"),
    "scores of another classifier": (
        [linear("label,s"), op("Neg", "X", "n"), op("Softmax", "n", "scores")],
        "not that operator's scores",
    ),
    "scores in another order": (
        [linear("label,s"), op("Gather", "s,second", "scores", axis=1)],
        "not that operator's scores",
    ),
    "a classifier of equal labels": ([linear(classlabels_ints=[4, 5, 5])], "lists 3 classes"),
}


@pytest.mark.parametrize("case", PROVEN)
def test_proven_labels_equal_those_of_the_graph(case: str) -> None:
    nodes, expected = PROVEN[case]
    model = classifier(*nodes).SerializeToString()
    outputs = Graph(model, NAMES).run(ROWS)
    found = find_class_labels(model, "label", "scores", 3)

    assert (found.values, found.by_argmax) == (expected, "classifier" not in case)
    assert outputs.scores is not None
    assert outputs.prediction.tolist() == [expected[index] for index in outputs.scores.argmax(axis=1)]


@pytest.mark.parametrize("case", UNPROVEN)
def test_unproven_labels_are_rejected(case: str) -> None:
    nodes, words = UNPROVEN[case]
    model = classifier(*nodes).SerializeToString()
    Graph(model, NAMES)  # ONNX Runtime accepts it

    with pytest.raises(BundleError, match=words):
        find_class_labels(model, "label", "scores", 3)


def with_function(name: str, domain: str = "") -> ModelProto:
    """Return a proven graph with a function of its own in the place of an operator."""
    model = classifier(SOFTMAX, INDEX, GATHER)
    model.functions.add(name=name, domain=domain)
    return model


def in_own_domain() -> ModelProto:
    model = classifier(SOFTMAX, INDEX, GATHER)
    model.graph.node[1].domain = "own"
    return model


def with_list_in_a_branch() -> ModelProto:
    """Return a graph whose list of labels is a constant of a branch of an If."""
    body = helper.make_graph([GATHER], "body", [], [], [numpy_helper.from_array(CONSTANTS["classes"], "classes")])
    branches = {"then_branch": body, "else_branch": body}
    return classifier(SOFTMAX, INDEX, op("If", "condition", "label", **branches), constants=())


def with_second_axis() -> ModelProto:
    model = classifier(SOFTMAX, INDEX, GATHER)
    model.graph.node[1].attribute.append(helper.make_attribute("axis", 0))
    return model


def with_list_of(**changes: Any) -> ModelProto:
    """Return a graph whose list of labels is damaged."""
    model = classifier(SOFTMAX, INDEX, GATHER, constants=["classes"])
    for name, value in changes.items():
        setattr(model.graph.initializer[0], name, value)
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (classifier(), "come from the tensor 'label'"),
        (classifier(op("Identity", "label", "label")), "does not show"),
        (classifier(SOFTMAX, op("Gather", "missing,X", "label")), "'missing', which is not a constant list"),
        (classifier(SOFTMAX, op("Gather", "classes", "label")), "come from the tensor ''"),
        (classifier(SOFTMAX, op("ArgMax", "scores", "label", axis=1), SOFTMAX), "two sources of the tensor 'scores'"),
        (classifier(SOFTMAX, op("ArgMax", "scores", "i,i", axis=1), GATHER), "two sources of the tensor 'i'"),
        (classifier(SOFTMAX, INDEX, GATHER, constants=["classes", "classes"]), "two sources of the tensor 'classes'"),
        (classifier(SOFTMAX, INDEX, GATHER, op("Abs", "X", "classes")), "two sources of the tensor 'classes'"),
        (classifier(linear(classlabels_ints=[4, 5])), "lists 2 classes"),
        (classifier(linear(classlabels_ints=None, classlabels_strings=["a"])), "lists 1 classes"),
        (classifier(linear(classlabels_strings=["a", "b", "c"])), "does not list its classes"),
        (classifier(linear(classlabels_ints=None, classlabels_strings=[b"\xff", "b", "c"])), "does not list its"),
        (classifier(linear("label")), "not that operator's scores"),
        (classifier(op("Sub", "X", "scores"), op("ArgMax", "X", "i", axis=1), GATHER), "nothing proves"),
        (classifier(SOFTMAX, helper.make_node("Cast", [], ["label"])), "does not show"),
        (
            classifier(helper.make_node("Exp", [], ["scores"]), helper.make_node("ArgMax", [], ["label"], axis=1)),
            "nothing proves",
        ),
        (classifier(helper.make_node("Exp", [], ["scores"]), op("ArgMax", "X", "label", axis=1)), "nothing proves"),
        (with_function("ArgMax"), "does not show"),
        (with_function("Gather", "ai.onnx"), "does not show"),
        (in_own_domain(), "does not show"),
        (with_list_in_a_branch(), "does not show .* 'If'"),
        (with_second_axis(), "does not show"),
        (with_list_of(raw_data=bytes(23)), "does not contain integers"),
        (with_list_of(raw_data=b""), "does not contain integers"),
        (with_list_of(data_type=TensorProto.DOUBLE), "does not contain integers"),
    ],
)
def test_labels_of_a_damaged_graph_are_rejected(model: ModelProto, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        find_class_labels(model.SerializeToString(), "label", "scores", 3)


@pytest.mark.parametrize("estimator", [GaussianNB(), KNeighborsClassifier(), MLPClassifier((2,), max_iter=2)])
@pytest.mark.filterwarnings("ignore")
def test_changed_export_is_rejected(estimator: Any) -> None:
    model = to_onnx(estimator.fit(ROWS, [7, 8, 9, 7, 8] * 10), ROWS[:1], options={"zipmap": False})
    label, scores = (output.name for output in model.graph.output)
    assert find_class_labels(model.SerializeToString(), label, scores, 3).values == (7, 8, 9)
    argmax = next(node for node in model.graph.node if node.op_type == "ArgMax")
    axis = next(attribute for attribute in argmax.attribute if attribute.name == "axis")

    axis.i = 0
    with pytest.raises(BundleError, match="ArgMax over axis 0"):
        find_class_labels(model.SerializeToString(), label, scores, 3)
    axis.i = 1
    argmax.input[0] = "X"
    with pytest.raises(BundleError, match=re.escape("an ArgMax of 'X', and nothing proves")):
        find_class_labels(model.SerializeToString(), label, scores, 3)

"""Find the label of each probability column of an ONNX classifier, an integer or a text, without running it.

Two forms of graph prove the labels. In the first, an operator of `ai.onnx.ml` lists its classes and produces both
outputs; the specification orders its scores like that list. In the second, the label is an ArgMax over the classes. Its
scores are the graph's probabilities, except for steps that keep the order within each row. The resulting index may be
looked up in a constant list. All other graphs are rejected.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from slipway_core.errors import BundleError
from slipway_core.onnx_model import parse_model
from slipway_core.onnx_trace import (
    CLASS_AXES,
    Source,
    TracedGraph,
    attribute,
    attribute_list,
    decoded,
    input_of,
    integer_values,
    shown,
    texts_of,
)

# TensorProto.DataType. A cast of integers to any other type, such as text, is rejected.
_NUMPY_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}

_STRING = 8
# The operators that list their classes, with the attribute for integer classes.
_CLASS_ATTRIBUTES = {
    b"LinearClassifier": b"classlabels_ints",
    b"SVMClassifier": b"classlabels_ints",
    b"TreeEnsembleClassifier": b"classlabels_int64s",
}
_TEXT_CLASSES = b"classlabels_strings"
# They look up a label in a list by its index.
_LOOKUPS = frozenset({b"ArrayFeatureExtractor", b"Gather"})

Labels: TypeAlias = tuple[int, ...] | tuple[str, ...]

_ADVICE = (
    "export a classifier that lists its classes, or one whose labels are an ArgMax of its probabilities over "
    "the classes"
)


@dataclass(frozen=True)
class ClassLabels:
    """The possible labels of a classifier.

    Attributes:
        values: the labels, all integers or all texts, in the order of the probabilities.
        by_argmax: whether the graph selects the class of the highest probability. The classifiers of `ai.onnx.ml` may
            not: an SVM fits its probabilities separately from its decision, and other models use a threshold.
    """

    values: Labels
    by_argmax: bool


def find_class_labels(model: bytes, label: str, scores: str, n_classes: int) -> ClassLabels:
    """Return the possible labels of a classifier's label output, in the order of its probabilities.

    Args:
        model: a serialised ONNX model.
        label: the name of its label output, (n_rows,) int64 or text.
        scores: the name of its output of probabilities, (n_rows, n_classes) float.
        n_classes: the number of probabilities per row.

    Raises:
        BundleError: the graph does not prove its labels in a supported form, or lists another number of labels.
    """
    graph = TracedGraph(parse_model(model))
    source = graph.follow(label.encode())
    values: Labels
    operator = graph.operator(source.node)
    by_argmax = operator not in _CLASS_ATTRIBUTES
    if not by_argmax:
        _check_same_classifier(graph, source, scores.encode())
        values = _listed(source.node, _CLASS_ATTRIBUTES[operator])
    elif operator in _LOOKUPS:
        values = _looked_up(graph, source.node, n_classes)
        index = graph.follow(input_of(source.node, 1))
        _check_argmax(graph, index, scores.encode())
        _check_casts(index.casts, range(n_classes))
    else:
        _check_argmax(graph, source, scores.encode())
        values = tuple(range(n_classes))
    if len(values) != n_classes or len(set(values)) != n_classes:
        raise _wrong_number(len(values), n_classes)
    _check_casts(source.casts, values)
    return ClassLabels(values, by_argmax)


def _check_same_classifier(graph: TracedGraph, source: Source, scores: bytes) -> None:
    node = source.node
    if len(node.output) < 2 or source.name != node.output[0] or node.output[1] not in graph.ancestors(scores):  # noqa: PLR2004
        raise BundleError(
            f"the graph's labels come from its {shown(node.op_type)}, but its probabilities {shown(scores)} are not "
            f"that operator's scores in the same order: {_ADVICE}"
        )


def _check_argmax(graph: TracedGraph, source: Source, scores: bytes) -> None:
    node = source.node
    if graph.operator(node) != b"ArgMax":
        made = f"the operator {shown(node.op_type)}" if node is not None else f"the tensor {shown(source.name)}"
        raise BundleError(
            f"the graph does not show which classes its labels stand for: they come from {made}; {_ADVICE}"
        )
    axis = attribute(node, b"axis", 0)
    if axis not in CLASS_AXES:
        raise BundleError(
            f"the graph's labels are an ArgMax over axis {axis}, but its classes are on axis 1: export it with axis=1"
        )
    compared = input_of(node, 0)
    if set(graph.ancestors(compared)).isdisjoint(graph.ancestors(scores)):
        raise BundleError(
            f"the graph's labels are an ArgMax of {shown(compared)}, and nothing proves that its probabilities "
            f"{shown(scores)} have the same order: {_ADVICE}"
        )


def _check_casts(types: Iterable[int], labels: Iterable[int] | Iterable[str]) -> None:
    """Raise BundleError if a cast to one of the types changes a label."""
    expected = list(labels)
    for number in types:
        name = _NUMPY_TYPES.get(number)
        if isinstance(expected[0], str):
            if number != _STRING:
                raise BundleError("the graph casts its text labels to another type: export it without this cast")
            continue
        with np.errstate(all="ignore"):
            cast = None if name is None else np.array(expected, dtype=np.int64).astype(name).tolist()
        if cast != expected:
            raise BundleError(
                f"the graph casts its labels to {name or f'the ONNX type {number}'}, which changes some of them: "
                "export it with int64 labels"
            )


def _listed(node: Any, name: bytes) -> Labels:  # noqa: ANN401
    """Return the labels that a classifier lists: integers in the named attribute, or texts."""
    numbers = attribute_list(node, name)
    texts = next((entry.strings for entry in node.attribute if entry.name == _TEXT_CLASSES), ())
    labels = decoded(texts) if texts else numbers
    if not labels or (texts and numbers):
        raise BundleError(f"the graph's {shown(node.op_type)} does not list its classes: {_ADVICE}")
    return labels


def _looked_up(graph: TracedGraph, node: Any, n_classes: int) -> Labels:  # noqa: ANN401
    """Return the list in which a node looks up labels."""
    name = input_of(node, 0)
    tensor = graph.constant(name)
    shape = [] if tensor is None else list(tensor.dims)
    if node.op_type == b"ArrayFeatureExtractor":  # it selects along the last axis
        is_list = len(shape) == 1 or (len(shape) == 2 and shape[0] == 1)  # noqa: PLR2004
    else:
        is_list = len(shape) == 1 and attribute(node, b"axis", 0) in {0, -1}
    if not is_list:
        raise BundleError(
            f"the graph looks its labels up by {shown(node.op_type)} in {shown(name)}, which is not a "
            f"constant list of labels: {_ADVICE}"
        )
    if shape[-1] != n_classes:
        raise _wrong_number(shape[-1], n_classes)
    labels = integer_values(tensor) or texts_of(tensor)
    if labels is None:
        raise BundleError(f"the graph's list of labels {shown(name)} does not contain integers or texts: {_ADVICE}")
    return labels


def _wrong_number(n_labels: int, n_classes: int) -> BundleError:
    return BundleError(f"the graph lists {n_labels} classes, but returns {n_classes} probabilities per row: {_ADVICE}")

"""Find which label each probability of an ONNX classifier belongs to, and the texts that its operators list."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from slipway_core.errors import BundleError
from slipway_core.onnx_labels import find_class_labels
from slipway_trainer.errors import ForeignModelError
from slipway_trainer.foreign.original_graph import OriginalGraph

_LOOKUPS = frozenset({"ArrayFeatureExtractor", "Gather"})
# On the rows that are compared, the label must be that of the highest probability more often than not.
_AGREEMENT = 0.5


def class_labels(
    uri: str, graph: OriginalGraph, predicted: "np.ndarray[Any, Any] | None", scores: "np.ndarray[Any, Any]"
) -> tuple[Any, ...]:
    """Return the label of each probability of a graph that returns tensors.

    Args:
        uri: the graph's address, for messages.
        graph: the graph.
        predicted: (n_rows,) its labels for drawn rows; None if it takes only texts that it knows.
        scores: (n_rows, n_classes) its probabilities for the same rows.

    Raises:
        ForeignModelError: the graph does not show the order of its labels.
    """
    label, n_classes = str(graph.label), scores.shape[1]
    if graph.label_kind == "tensor(bool)" and n_classes == 2:  # noqa: PLR2004
        return (False, True)
    if graph.label_kind != "tensor(string)":
        try:
            return find_class_labels(graph.content, label, graph.scores, n_classes).values
        except BundleError as error:
            raise ForeignModelError(f"{uri} cannot be registered: {error}") from error
    lists = [one for one in dict.fromkeys(_lists_of_texts(graph.content)) if len(one) == len(set(one)) == n_classes]
    if predicted is not None:
        highest = scores.argmax(axis=1)
        lists = [one for one in lists if np.mean(np.array(one, dtype=object)[highest] == predicted) > _AGREEMENT]
    if len(lists) != 1:
        raise ForeignModelError(_unordered(uri))
    return lists[0]


def check_agreement(uri: str, predicted: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
    """Check that most predicted classes have the highest probability.

    Raises:
        ForeignModelError: they do not, so the order of the labels is not that of the probabilities.
    """
    if np.mean(predicted == scores.argmax(axis=1)) <= _AGREEMENT:
        raise ForeignModelError(_unordered(uri))


def _unordered(uri: str) -> str:
    return (
        f"{uri} does not show the order in which its probabilities belong to its labels; export it with ZipMap, the "
        "default of skl2onnx"
    )


def _lists_of_texts(content: bytes) -> Iterator[tuple[str, ...]]:
    """Yield the lists of labels: of classifiers, and constant ones in which an operator looks up."""
    graph = onnx.load_from_string(content).graph
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.STRING}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "classlabels_strings" and attribute.strings:
                yield tuple(text.decode() for text in attribute.strings)
        if node.op_type in _LOOKUPS and node.input[0] in constants:
            values = numpy_helper.to_array(constants[node.input[0]]).reshape(-1).tolist()
            yield tuple(value.decode() if isinstance(value, bytes) else str(value) for value in values)


def texts_of(content: bytes) -> tuple[str, ...]:
    """Return the texts that the operators of a graph compare their inputs with, without labels."""
    graph = onnx.load_from_string(content).graph
    return tuple(
        dict.fromkeys(
            text.decode()
            for node in graph.node
            for attribute in node.attribute
            if attribute.name in {"cats_strings", "keys_strings"}
            for text in attribute.strings
        )
    )

"""Find which label each probability of an ONNX classifier belongs to, and the texts that its operators list."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from slipway_core.errors import BundleError
from slipway_core.onnx_labels import find_class_labels
from slipway_trainer.errors import ForeignModelError

_LOOKUPS = frozenset({"ArrayFeatureExtractor", "Gather"})
# On drawn rows, the label must be that of the highest probability more often than not.
_AGREEMENT = 0.5


def class_labels(
    uri: str, content: bytes, label: str, scores: str, predicted: "np.ndarray[Any, Any]", found: "np.ndarray[Any, Any]"
) -> tuple[Any, ...]:
    """Return the label of each probability of a graph that returns tensors.

    Args:
        uri: the graph's address, for messages.
        content: the serialised graph.
        label: the output of labels.
        scores: the output of probabilities.
        predicted: (n_rows,) its labels for drawn rows.
        found: (n_rows, n_classes) its probabilities for the same rows.

    Raises:
        ForeignModelError: the graph does not show the order of its labels.
    """
    if predicted.dtype.kind == "b":
        return (False, True)
    if predicted.dtype.kind in "iu":
        try:
            return find_class_labels(content, label, scores, found.shape[1]).values
        except BundleError as error:
            raise ForeignModelError(f"{uri} cannot be registered: {error}") from error
    highest = found.argmax(axis=1)
    fitting = [
        order
        for order in dict.fromkeys(_lists_of_texts(content))
        if len(order) == found.shape[1] and len(set(order)) == len(order)
        if np.mean(np.array(order, dtype=object)[highest] == predicted) > _AGREEMENT
    ]
    if len(fitting) != 1:
        raise ForeignModelError(
            f"{uri} returns its labels as text and does not show the order of their probabilities; export it with "
            "ZipMap, the default of skl2onnx, or with integer labels"
        )
    return fitting[0]


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

"""Find which label each probability of an ONNX classifier belongs to, and the texts that its operators list."""

import onnx

from slipway_core.errors import BundleError
from slipway_core.onnx_labels import find_class_labels
from slipway_trainer.errors import ForeignModelError
from slipway_trainer.foreign.original_graph import OriginalGraph
from slipway_trainer.recipes.base import Label


def class_labels(uri: str, graph: OriginalGraph, n_classes: int) -> tuple[Label, ...]:
    """Return the label of each probability of a graph that returns tensors, as its structure proves it.

    Args:
        uri: the graph's address, for messages.
        graph: the graph.
        n_classes: the number of its probabilities.

    Raises:
        ForeignModelError: the graph does not show the order of its labels.
    """
    if graph.label_kind == "tensor(bool)" and n_classes == 2:  # noqa: PLR2004
        return (False, True)
    try:
        return find_class_labels(graph.content, str(graph.label), graph.scores, n_classes).values
    except BundleError as error:
        raise ForeignModelError(
            f"{uri} cannot be registered: {error}; a ZipMap, the default of skl2onnx, also shows the labels"
        ) from error


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

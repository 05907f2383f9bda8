"""Remove the ZipMap operator from a classifier, so that it returns its probabilities as a matrix.

skl2onnx adds this operator by default. It turns the matrix of probabilities into one dictionary per row, from the class
to its probability. The dictionaries are slow, and ONNX Runtime rejects a ZipMap of 64-bit floats.
"""

from dataclasses import dataclass

from slipway_core.errors import BundleError
from slipway_core.onnx_model import parse_model

_OPERATOR, _DOMAIN = b"ZipMap", b"ai.onnx.ml"


@dataclass(frozen=True)
class WithoutZipMap:
    """A model without its ZipMap.

    Attributes:
        model: the serialised model; the given one if it has no ZipMap.
        scores: the output of probabilities that the ZipMap converted; None if there was none.
        labels: the classes that the ZipMap gave to the columns of that output.
    """

    model: bytes
    scores: str | None = None
    labels: tuple[int, ...] | tuple[str, ...] = ()


def without_zipmap(model: bytes) -> WithoutZipMap:
    """Return a serialised model whose outputs are the inputs of its ZipMap operators.

    Raises:
        BundleError: the model is damaged, or has several ZipMap operators, or uses their results itself.
    """
    if _OPERATOR not in model:  # parsing a large model takes a while
        return WithoutZipMap(model)
    parsed = parse_model(model)
    graph = parsed.graph
    found = [place for place, node in enumerate(graph.node) if (node.op_type, node.domain) == (_OPERATOR, _DOMAIN)]
    if not found:
        return WithoutZipMap(model)
    node = graph.node[found[0]]
    outputs = [value for value in graph.output if value.name in node.output]
    used = any(name in node.output for other in graph.node for name in other.input)
    if len(found) > 1 or len(outputs) != 1 or used or len(node.input) != 1:
        raise BundleError(
            "the graph uses ZipMap other than for the output of its probabilities: convert the model again with "
            'options={"zipmap": False}'
        )
    scores = node.input[0]
    attributes = {entry.name: entry for entry in node.attribute}
    texts, numbers = attributes.get(b"classlabels_strings"), attributes.get(b"classlabels_int64s")
    labels: tuple[int, ...] | tuple[str, ...] = ()
    if texts is not None and texts.strings:
        labels = tuple(text.decode(errors="replace") for text in texts.strings)
    elif numbers is not None:
        labels = tuple(numbers.ints)
    outputs[0].name = scores
    outputs[0].ClearField("type")  # ONNX Runtime infers it
    del graph.node[found[0]]
    return WithoutZipMap(parsed.SerializeToString(), scores.decode(errors="replace"), labels)

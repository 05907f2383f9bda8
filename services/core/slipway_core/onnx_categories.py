"""Find the categories that a graph knows of its inputs, where it fails on any other value.

skl2onnx exports scikit-learn's default `OneHotEncoder` in this way: `handle_unknown="error"`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from slipway_core.onnx_model import parse_model
from slipway_core.onnx_trace import TracedGraph, attribute, attribute_list, decoded, input_of

# A column of the graph's inputs: the input's name and the index within it.
Place = tuple[str, int]

# A limit of the time for graphs that pass on many columns many times.
MAX_PASSED_COLUMNS = 1_000_000
# They pass on each column.
_PASSING = frozenset({b"Cast", b"Identity"})
_SELECTIONS = frozenset({b"ArrayFeatureExtractor", b"Gather"})
_COLUMN_AXES = frozenset({1, -1})


def find_categories(model: bytes, widths: Mapping[str, int]) -> dict[Place, tuple[int, ...] | tuple[str, ...]]:
    """Return the categories of the columns that the graph encodes and allows no other values for.

    Args:
        model: a serialised ONNX model.
        widths: the number of columns of each of its inputs.

    Raises:
        BundleError: the model is damaged.
    """
    parsed = parse_model(model)
    graph = TracedGraph(parsed)
    columns: dict[bytes, list[Place]] = {
        name.encode(): [(name, index) for index in range(width)] for name, width in widths.items()
    }
    found: dict[Place, tuple[int, ...] | tuple[str, ...]] = {}
    limit, left = sum(widths.values()), MAX_PASSED_COLUMNS
    for node in parsed.graph.node:  # an operator follows those that produce its inputs
        operator = graph.operator(node)
        if operator == b"OneHotEncoder":
            places = columns.get(input_of(node, 0), [])
            categories = _categories(node)
            if len(places) == 1 and categories and attribute(node, b"zeros", 1) == 0:
                found.setdefault(places[0], categories)
        elif node.output and (passed := _passed(graph, node, operator, columns)):
            # A graph could repeat its columns without end.
            left -= len(passed)
            if left < 0:
                break
            columns[node.output[0]] = passed if len(passed) <= limit else []
    return found


def _passed(graph: TracedGraph, node: Any, operator: bytes, columns: Mapping[bytes, list[Place]]) -> list[Place]:  # noqa: ANN401
    """Return the columns that a node's output consists of; empty if unknown."""
    places = columns.get(input_of(node, 0), [])
    if operator in _PASSING:
        return places
    if operator == b"Concat" and attribute(node, b"axis", 0) in _COLUMN_AXES:
        parts = [columns.get(name, []) for name in node.input]
        return [place for part in parts for place in part] if all(parts) else []
    is_selection = operator == b"ArrayFeatureExtractor" or attribute(node, b"axis", 0) in _COLUMN_AXES
    if operator in _SELECTIONS and is_selection:
        return _selected(places, graph.integers(input_of(node, 1)))
    return []


def _selected(places: Sequence[Place], indices: Sequence[int] | None) -> list[Place]:
    if indices is None or not all(0 <= index < len(places) for index in indices):
        return []
    return [places[index] for index in indices]


def _categories(node: Any) -> tuple[int, ...] | tuple[str, ...]:  # noqa: ANN401
    texts = next((entry.strings for entry in node.attribute if entry.name == b"cats_strings"), ())
    return (decoded(texts) or ()) if texts else attribute_list(node, b"cats_int64s")

"""Trace the tensors of a parsed ONNX graph back to their sources.

Labels and indices are traced over operators that pass on each value, scores over operators that keep the order within
each row. Any other operator ends the trace.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway_core.errors import BundleError

# TensorProto.DataType
_INT32, _INT64, _STRING = 6, 7, 8
_FLOAT_TYPES = frozenset({1, 10, 11, 16})

_ML_OPERATORS = frozenset(
    b"ArrayFeatureExtractor LinearClassifier Normalizer OneHotEncoder SVMClassifier TreeEnsembleClassifier".split()
)
# Operators that pass on labels in the same order.
_PASSING = frozenset({b"Cast", b"Identity", b"Reshape", b"Squeeze", b"Unsqueeze", b"Flatten"})
# For (n_rows, n_classes) scores, these keep the order within a row.
_MONOTONE = frozenset({b"Identity", b"Exp", b"Sigmoid"})
# These do, too, if their axis is that of the classes. The divisor, a norm, is never negative.
_ALONG_AN_AXIS = frozenset({b"Softmax", b"LogSoftmax", b"LpNormalization"})
_REDUCTIONS = frozenset({b"ReduceMax", b"ReduceSum", b"ReduceLogSumExp"})
# The axis of the classes in (n_rows, n_classes) scores.
CLASS_AXES = frozenset({1, -1})
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Source:
    """The source of a tensor of labels or indices.

    Attributes:
        name: the tensor that the node outputs.
        node: the first node that does more than pass values on; None for a constant or an input.
        casts: the types to which the values are cast after that node.
    """

    name: bytes
    node: Any
    casts: tuple[int, ...]


class TracedGraph:
    """The top level of a graph by its tensors' names. A node inside an If or a Loop is not part of it."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401  # classes made at run time
        self._nodes: dict[bytes, Any] = {}
        for node in model.graph.node:
            for name in filter(None, node.output):
                if name in self._nodes:
                    raise _made_twice(name)
                self._nodes[name] = node
        self._constants: dict[bytes, Any] = {}
        sparse = [tensor.values for tensor in model.graph.sparse_initializer]
        for tensor in [*model.graph.initializer, *sparse]:
            if tensor.name in self._constants or tensor.name in self._nodes:
                raise _made_twice(tensor.name)
            self._constants[tensor.name] = tensor
        # A local function of the model can replace a standard operator.
        self._functions = {(_domain(function.domain), function.name) for function in model.functions}

    def node(self, name: bytes) -> Any:  # noqa: ANN401
        """Return the node that outputs a tensor; None for a constant or an input."""
        return self._nodes.get(name)

    def operator(self, node: Any) -> bytes:  # noqa: ANN401
        """Return a node's operator if the ONNX standard defines it; an empty name otherwise."""
        if node is None or len({entry.name for entry in node.attribute}) != len(node.attribute):
            return b""
        domain = _domain(node.domain)
        standard = b"ai.onnx.ml" if node.op_type in _ML_OPERATORS else b""
        return node.op_type if domain == standard and (domain, node.op_type) not in self._functions else b""

    def follow(self, name: bytes) -> Source:
        """Trace labels or indices back over the operators that pass them on."""
        casts = []
        for _ in range(len(self._nodes)):  # a damaged graph may have a cycle
            node = self.node(name)
            operator = self.operator(node)
            if operator not in _PASSING:
                break
            if operator == b"Cast":
                casts.append(attribute(node, b"to", 0))
            name = input_of(node, 0)
        return Source(name, self.node(name), tuple(casts))

    def ancestors(self, name: bytes) -> list[bytes]:
        """Return the tensors that have the same order within each row as a tensor of scores, itself first."""
        found = [name]
        for _ in range(len(self._nodes)):
            node = self.node(name)
            if not self._keeps_order(node) or not input_of(node, 0):
                break
            name = input_of(node, 0)
            found.append(name)
        return found

    def _keeps_order(self, node: Any) -> bool:  # noqa: ANN401
        """Return whether a node's scores have the same order within each row as its first input."""
        operator = self.operator(node)
        if operator in _ALONG_AN_AXIS:  # both defaults, 1 and -1, are the class axis
            return attribute(node, b"axis", 1) in CLASS_AXES
        if operator == b"Cast":
            return attribute(node, b"to", 0) in _FLOAT_TYPES
        if operator == b"Normalizer":  # the default norm divides by a maximum, which may be negative
            return any(entry.name == b"norm" and entry.s == b"L1" for entry in node.attribute)
        if operator == b"Sub":
            return self._is_reduction(node, _REDUCTIONS)
        if operator == b"Div":  # a negative sum would reverse the order: the caller checks this with `by_argmax`
            return self._is_reduction(node, frozenset({b"ReduceSum"}))
        return operator in _MONOTONE

    def _is_reduction(self, node: Any, operators: frozenset[bytes]) -> bool:  # noqa: ANN401
        """Return whether a node's second input is one value per row, (n_rows, 1), computed from its first input."""
        scores, made = input_of(node, 0), self.node(input_of(node, 1))
        is_column = False
        if self.operator(made) == b"Reshape":
            is_column = self.integers(input_of(made, 1)) == (-1, 1)
            made = self.node(input_of(made, 0))
        if self.operator(made) not in operators:
            return False
        reduced = input_of(made, 0)
        if self.operator(node) == b"Div" and self.operator(self.node(reduced)) == b"Abs":
            reduced = input_of(self.node(reduced), 0)
        if reduced != scores:
            return False
        axes = attribute_list(made, b"axes") or self.integers(input_of(made, 1))
        return (is_column or attribute(made, b"keepdims", 1) == 1) and axes in {(axis,) for axis in CLASS_AXES}

    def constant(self, name: bytes) -> Any:  # noqa: ANN401
        """Return the constant tensor with this name; None if it does not exist."""
        return self._constants.get(name)

    def integers(self, name: bytes) -> tuple[int, ...] | None:
        """Return the values of a constant of integers; None if it is not one."""
        tensor = self.constant(name)
        return None if tensor is None else integer_values(tensor)


def integer_values(tensor: Any) -> tuple[int, ...] | None:  # noqa: ANN401
    """Return a tensor's values; None if they are not integers, or their number does not match the shape."""
    size = {_INT32: 4, _INT64: 8}.get(tensor.data_type)
    if size is None:
        return None
    count = math.prod(tensor.dims)
    if tensor.raw_data:  # little-endian by the ONNX specification
        if len(tensor.raw_data) != size * count:
            return None
        return tuple(np.frombuffer(tensor.raw_data, dtype=f"<i{size}").tolist())
    values = tensor.int64_data if tensor.data_type == _INT64 else tensor.int32_data
    return tuple(values) if len(values) == count else None


def texts_of(tensor: Any) -> tuple[str, ...] | None:  # noqa: ANN401
    """Return a tensor's texts; None if it has other values, or their number does not match the shape."""
    if tensor.data_type != _STRING or len(tensor.string_data) != math.prod(tensor.dims):
        return None
    return decoded(tensor.string_data)


def decoded(texts: Iterable[bytes]) -> tuple[str, ...] | None:
    """Return texts of a graph; None if one is not UTF-8."""
    try:
        return tuple(text.decode() for text in texts)
    except UnicodeDecodeError:
        return None


def input_of(node: Any, index: int) -> bytes:  # noqa: ANN401
    """Return the name of a node's input; empty if the input is not set."""
    return node.input[index] if index < len(node.input) else b""


def attribute(node: Any, name: bytes, default: int) -> int:  # noqa: ANN401
    """Return an integer attribute of a node."""
    return next((entry.i for entry in node.attribute if entry.name == name), default)


def attribute_list(node: Any, name: bytes) -> tuple[int, ...]:  # noqa: ANN401
    """Return a node's attribute that is a list of integers; empty if it is not set."""
    return next((tuple(entry.ints) for entry in node.attribute if entry.name == name), ())


def _domain(domain: bytes) -> bytes:
    return b"" if domain == b"ai.onnx" else domain


def shown(name: bytes) -> str:
    """Return a name in the graph as error messages show it."""
    return repr(name.decode(errors="replace")[:_SHOWN_CHARACTERS])


def _made_twice(name: bytes) -> BundleError:
    return BundleError(f"the graph has two sources of the tensor {shown(name)}: export the model again")

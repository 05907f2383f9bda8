"""The categories of a graph's encoders that fail on any other value."""

import time
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from slipway_core.onnx_categories import find_categories

TEXTS: dict[str, Any] = {"cats_strings": ["a", "b"]}
NUMBERS: dict[str, Any] = {"cats_int64s": [3, 1]}


def op(kind: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    domain = "ai.onnx.ml" if kind in {"ArrayFeatureExtractor", "OneHotEncoder"} else ""
    return helper.make_node(kind, inputs.split(","), [output], domain=domain, **attributes)


def encoder(tensor: str, **attributes: Any) -> NodeProto:
    given = {"zeros": 0, **attributes}
    return op("OneHotEncoder", tensor, f"{tensor}_encoded", **{k: v for k, v in given.items() if v is not None})


def model_of(*nodes: NodeProto) -> bytes:
    """Return a graph of the inputs `X`, two columns, and `y`, one column. Only its structure is read."""
    constants = {"second": np.array([1]), "far": np.array([7])}
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    ports = [helper.make_tensor_value_info(name, TensorProto.STRING, [None, n]) for name, n in (("X", 2), ("y", 1))]
    return bytes(helper.make_model(helper.make_graph(nodes, "g", ports, [], tensors)).SerializeToString())


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([encoder("y", **TEXTS)], {("y", 0): ("a", "b")}),
        ([encoder("y", **NUMBERS)], {("y", 0): (3, 1)}),
        ([op("Cast", "y", "c", to=7), encoder("c", **NUMBERS)], {("y", 0): (3, 1)}),
        ([op("Gather", "X,second", "c", axis=1), encoder("c", **TEXTS)], {("X", 1): ("a", "b")}),
        ([op("ArrayFeatureExtractor", "X,second", "c"), encoder("c", **TEXTS)], {("X", 1): ("a", "b")}),
        (
            [
                op("Concat", "y,X", "all", axis=1),
                op("ArrayFeatureExtractor", "all,second", "c"),
                encoder("c", **TEXTS),
            ],
            {("X", 0): ("a", "b")},
        ),
        ([encoder("y", **TEXTS), op("Identity", "y", "c"), encoder("c", **NUMBERS)], {("y", 0): ("a", "b")}),
        ([encoder("y", zeros=1, **TEXTS)], {}),
        ([encoder("y", zeros=None, **TEXTS)], {}),
        ([encoder("y")], {}),
        ([encoder("y", cats_strings=[b"\xff"])], {}),
        ([encoder("X", **TEXTS)], {}),
        ([op("StringNormalizer", "y", "c"), encoder("c", **TEXTS)], {}),
        ([op("Gather", "X,second", "c", axis=0), encoder("c", **TEXTS)], {}),
        ([op("Gather", "X,far", "c", axis=1), encoder("c", **TEXTS)], {}),
        ([op("Gather", "X,y", "c", axis=1), encoder("c", **TEXTS)], {}),
        ([op("Concat", "y,unknown", "c", axis=1), encoder("c", **TEXTS)], {}),
    ],
)
def test_categories_are_those_of_the_column(nodes: list[NodeProto], expected: dict[Any, Any]) -> None:
    assert find_categories(model_of(*nodes), {"X": 2, "y": 1}) == expected


def test_columns_that_a_graph_repeats_take_little_time() -> None:
    doubled = [op("Concat", f"t{index},t{index}", f"t{index + 1}", axis=1) for index in range(200)]
    copied = [op("Identity", "X", f"c{index}") for index in range(5_000)]
    model = model_of(op("Identity", "X", "t0"), *doubled, *copied, encoder("y", **TEXTS))
    began = time.monotonic()

    assert find_categories(model, {"X": 10_000, "y": 1}) == {}
    assert time.monotonic() - began < 5

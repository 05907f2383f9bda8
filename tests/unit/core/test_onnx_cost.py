"""Graphs whose cost does not depend on the values of a row, so that a measurement bounds it."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from slipway_core.graph import Graph
from slipway_core.onnx_cost import cost_follows_rows
from slipway_core.onnx_model import parse_model
from support import hostile
from support.bundles import NAMES, echo_classifier, linear_classifier, regressor
from support.slow_models import loop_classifier, matmul_classifier, one_operator_classifier

LENGTH = [  # the largest value of X as an integer, once as a scalar and once as a list
    helper.make_node("ReduceMax", ["X"], ["largest"], keepdims=0),
    helper.make_node("Cast", ["largest"], ["number"], to=TensorProto.INT64),
    helper.make_node("Reshape", ["number", "one"], ["length"]),
]
CONSTANTS = {
    "one": np.array([1]),
    "zero": np.array([0]),
    "start": np.array(0),
    "step": np.array(1),
    "column": np.array([-1, 1]),
    "many": np.array([8]),
    "pads": np.array([0, 0, 0, 1]),
    "two": np.array([0.0, 1.0], dtype=np.float32),
    "table": np.arange(2_000),
}


def model_of(*nodes: NodeProto) -> ModelProto:
    floats = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 4])]
    constants = [numpy_helper.from_array(values, name) for name, values in CONSTANTS.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("own", 1)]
    graph = helper.make_graph(nodes, "g", floats, [helper.make_empty_tensor_value_info("Y")], constants)
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def follows_rows(model: bytes) -> bool:
    return cost_follows_rows(parse_model(model))


@pytest.mark.parametrize(
    ("operator", "inputs"),
    [
        ("ConstantOfShape", ["length"]),
        ("Expand", ["one", "length"]),
        ("Range", ["start", "number", "step"]),
        ("Tile", ["one", "length"]),
        ("Reshape", ["table", "length"]),
        ("Slice", ["table", "zero", "length"]),
        ("OneHot", ["zero", "length", "two"]),
        ("Pad", ["table", "length"]),
        ("TopK", ["table", "length"]),
        ("ReduceSum", ["X", "length"]),
        ("Resize", ["X", "", "length"]),
        ("NonZero", ["X"]),
        ("Unique", ["X"]),
        ("Compress", ["X", "length"]),
        ("EyeLike", ["X"]),  # any operator that the lists do not have
    ],
)
def test_operators_whose_shape_a_value_decides(operator: str, inputs: list[str]) -> None:
    model = model_of(*LENGTH, helper.make_node(operator, inputs, ["Y"]))

    assert not follows_rows(model.SerializeToString())


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Reshape", ["X", "column"], ["Y"])],
        [
            helper.make_node("Constant", [], ["own"], value_ints=[-1, 1]),
            helper.make_node("Reshape", ["X", "own"], ["Y"]),
        ],
        [helper.make_node("Tile", ["one", "many"], ["Y"])],
        [helper.make_node("Slice", ["X", "zero", "one", "one"], ["Y"])],
        [helper.make_node("Pad", ["X", "pads"], ["Y"])],
        [helper.make_node("Gather", ["table", "number"], ["Y"])],
        [
            helper.make_node("Shape", ["X"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["rows"]),
            helper.make_node("Concat", ["rows", "many"], ["sizes"], axis=0),
            helper.make_node("ConstantOfShape", ["sizes"], ["Y"]),
        ],
    ],
    ids=["Reshape", "Constant", "Tile", "Slice", "Pad", "Gather", "lengths"],
)
def test_operators_whose_shape_is_constant(nodes: list[NodeProto]) -> None:
    assert follows_rows(model_of(*LENGTH, *nodes).SerializeToString())


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Mul", ["rows", "many"], ["size"])],
        [helper.make_node("Gather", ["table", "rows"], ["size"])],
        [
            helper.make_node("Cast", ["rows"], ["byte"], to=TensorProto.UINT8),
            helper.make_node("Cast", ["byte"], ["size"], to=7),
        ],
    ],
    ids=["arithmetic", "table", "overflow"],
)
def test_sizes_computed_from_the_number_of_rows(nodes: list[NodeProto]) -> None:
    """Such a size may be huge for three rows alone, which no measurement of 1, 4 and 16 rows shows."""
    model = model_of(
        helper.make_node("Shape", ["X"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        *nodes,
        helper.make_node("ConstantOfShape", ["size"], ["Y"]),
    )

    assert not follows_rows(model.SerializeToString())


def with_scan() -> bytes:
    state, item, after = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("s", "x", "t"))
    body = helper.make_graph([helper.make_node("Add", ["s", "x"], ["t"])], "body", [state, item], [after])
    nodes = [helper.make_node("Scan", ["two", "X"], ["Y"], body=body, num_scan_inputs=1)]
    return bytes(model_of(*nodes).SerializeToString())


def with_branches() -> bytes:
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("X", TensorProto.FLOAT, None)])
    nodes = [helper.make_node("If", ["largest"], ["Y"], then_branch=branch, else_branch=branch)]
    return bytes(model_of(*LENGTH, *nodes).SerializeToString())


def with_function() -> bytes:
    model = model_of(helper.make_node("Relu", ["X"], ["Y"]))
    body = [helper.make_node("ConstantOfShape", ["a"], ["b"])]
    model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    return bytes(model.SerializeToString())


def with_overlong_key() -> bytes:
    """Return a model with a Loop whose `op_type` has a key of three bytes, which every parser accepts."""
    model = onnx.load_from_string(hostile.endless_loop())
    nodes = [node.SerializeToString() for node in model.graph.node]
    del model.graph.node[:]
    graph = model.graph.SerializeToString()
    for node in nodes:
        graph += hostile.field(1, node.replace(b"\x22\x04Loop", b"\xa2\x80\x00\x04Loop"))
    model.ClearField("graph")
    return bytes(model.SerializeToString() + hostile.field(7, graph))


def with_texts(node: NodeProto) -> bytes:
    node.domain = "ai.onnx.ml"
    return bytes(model_of(node).SerializeToString())


@pytest.mark.parametrize(
    "model",
    [
        hostile.endless_loop,
        loop_classifier,
        with_overlong_key,
        with_scan,
        with_branches,
        with_function,
        lambda: model_of(helper.make_node("Relu", ["X"], ["Y"], domain="own")).SerializeToString(),
        lambda: model_of(helper.make_node("Inverse", ["X"], ["Y"], domain="com.microsoft")).SerializeToString(),
        hostile.filling,
        hostile.ranging,
        one_operator_classifier,
        lambda: with_texts(
            helper.make_node("LabelEncoder", ["X"], ["Y"], keys_floats=[1.0], values_strings=["x" * 1_000])
        ),
        lambda: model_of(
            helper.make_node(
                "Constant", [], ["Y"], value=helper.make_tensor("t", TensorProto.STRING, [1], [b"x" * 257])
            )
        ).SerializeToString(),
    ],
    ids=[
        *("Loop", "counted Loop", "overlong key", "Scan", "If", "function", "own domain", "other domain"),
        *("ConstantOfShape", "Range", "MatMul of a computed shape", "long text", "text tensor"),
    ],
)
def test_graphs_whose_cost_a_value_decides(model: Callable[[], bytes]) -> None:
    assert not follows_rows(model())


@pytest.mark.parametrize("model", [linear_classifier, echo_classifier, regressor, lambda: matmul_classifier(4, 2)])
def test_graphs_of_plain_operators(model: Callable[[], bytes]) -> None:
    assert Graph(
        model(), NAMES if model is not regressor else NAMES.model_copy(update={"label": "value", "scores": None})
    ).cost_follows_rows

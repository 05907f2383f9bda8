"""Classifiers of four features whose graphs are slow: between their operators, or inside one of them."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.bundles import linear_classifier_after


def _units(name: str) -> list[onnx.NodeProto]:
    """Return nodes that compute an integer: how much the last feature's largest value exceeds 10; otherwise 0."""
    return [
        helper.make_node("Gather", ["X", "last"], ["column"], axis=1),
        helper.make_node("ReduceMax", ["column"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["integer"], to=TensorProto.INT64),
        helper.make_node("Sub", ["integer", "ten"], ["above"]),
        helper.make_node("Max", ["above", "none"], [name]),
    ]


CONSTANTS = {
    "last": np.array(3, dtype=np.int64),
    "ten": np.array(10, dtype=np.int64),
    "none": np.array(0, dtype=np.int64),
}


def matmul_classifier(size: int, count: int) -> bytes:
    """Return a classifier that multiplies matrices of `size`² a fixed number of times: as slow for every row."""
    slow = [
        helper.make_node("ReduceSum", ["X"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["M", "sum"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{index}", "M"], [f"m{index + 1}"]) for index in range(count)),
        helper.make_node("ReduceSum", [f"m{count}"], ["zero"], keepdims=0),
    ]
    return linear_classifier_after(slow, {"M": np.zeros((size, size), dtype=np.float32)})


def loop_classifier() -> bytes:
    """Return a classifier whose Loop repeats a million times for each unit by which the last feature exceeds 10.

    It ends soon after it is terminated.
    """
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition"], ["condition_out"]),
            helper.make_node("Identity", ["carried"], ["carried_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("condition_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_out", TensorProto.FLOAT, []),
        ],
    )
    slow = [
        *_units("units"),
        helper.make_node("Mul", ["units", "million"], ["trips"]),
        helper.make_node("Loop", ["trips", "true", "nought"], ["zero"], body=body),
    ]
    constants = {
        "million": np.array(1_000_000, dtype=np.int64),
        "true": np.array(True),
        "nought": np.array(0, dtype=np.float32),
    }
    return linear_classifier_after(slow, {**CONSTANTS, **constants})


def one_operator_classifier(width: int = 2000) -> bytes:
    """Return a classifier with a single MatMul, of n × `width` by `width` × `width`; n is 100, and 100 more for each
    unit by which the last feature exceeds 10.

    It cannot be terminated while that operator runs.
    """
    slow = [
        *_units("units"),
        helper.make_node("Mul", ["units", "hundred"], ["length"]),
        helper.make_node("Add", ["length", "hundred"], ["positive"]),
        helper.make_node("Reshape", ["positive", "vector"], ["rows"]),
        helper.make_node("Concat", ["rows", "width"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["left"]),
        helper.make_node("ConstantOfShape", ["square"], ["right"]),
        helper.make_node("MatMul", ["left", "right"], ["product"]),
        helper.make_node("ReduceSum", ["product"], ["zero"], keepdims=0),
    ]
    constants = {
        "hundred": np.array(100, dtype=np.int64),
        "vector": np.array([1], dtype=np.int64),
        "width": np.array([width], dtype=np.int64),
        "square": np.array([width, width], dtype=np.int64),
    }
    return linear_classifier_after(slow, {**CONSTANTS, **constants})


def sized_classifier() -> bytes:
    """Return a classifier that allocates as many floats as the value of the last feature."""
    slow = [
        helper.make_node("Gather", ["X", "last"], ["column"], axis=1),
        helper.make_node("ReduceMax", ["column"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["integer"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["integer", "vector"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["zero"], keepdims=0),
    ]
    return linear_classifier_after(slow, {"last": CONSTANTS["last"], "vector": np.array([1], dtype=np.int64)})

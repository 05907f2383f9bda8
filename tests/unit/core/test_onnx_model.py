"""Models with external data are rejected wherever ONNX allows a tensor; self-contained ones pass."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, ModelProto, SparseTensorProto, TensorProto, helper

from slipway_core.errors import BundleError
from slipway_core.graph import Graph
from slipway_core.manifest import GraphNames
from slipway_core.onnx_model import check_self_contained, parse_model

SECRET = "secret-key"
NAMES = GraphNames(label="Y")


def tensor(location: str | None = SECRET) -> TensorProto:
    """Return four float values in a file, or in the tensor itself."""
    if location is None:
        return helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    made.external_data.add(key="location", value=location)
    return made


def sparse(values: TensorProto, indices: TensorProto) -> SparseTensorProto:
    return SparseTensorProto(values=values, indices=indices, dims=[4])


def graph_with(*initializers: TensorProto) -> GraphProto:
    floats = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4]) for name in "XY"]
    return helper.make_graph([helper.make_node("Add", ["X", "w"], ["Y"])], "g", floats[:1], floats[1:], initializers)


def with_attribute(attribute: AttributeProto) -> ModelProto:
    model = helper.make_model(graph_with(tensor(None)), opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    node = model.graph.node.add(op_type="Constant", output=["c"])
    node.attribute.append(attribute)
    return model


def in_initializer(found: TensorProto) -> ModelProto:
    return helper.make_model(graph_with(found), opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def in_sparse_initializer(found: TensorProto, *, is_index: bool = False) -> ModelProto:
    model = in_initializer(tensor(None))
    pair = (tensor(None), found) if is_index else (found, tensor(None))
    model.graph.sparse_initializer.append(sparse(*pair))
    return model


def in_function(found: TensorProto, *, is_default: bool = False) -> ModelProto:
    model = in_initializer(tensor(None))
    function = model.functions.add(name="f", domain="own")
    attribute = AttributeProto(name="value", type=AttributeProto.TENSOR, t=found)
    (function.attribute_proto if is_default else function.node.add(op_type="Constant").attribute).append(attribute)
    return model


def in_training(found: TensorProto, field: str) -> ModelProto:
    model = in_initializer(tensor(None))
    getattr(model.training_info.add(), field).CopyFrom(graph_with(found))
    return model


def nested(found: TensorProto, depth: int) -> ModelProto:
    graph = graph_with(found)
    for _ in range(depth):
        outer = graph_with(tensor(None))
        outer.node.add(op_type="If").attribute.add(name="then_branch", type=AttributeProto.GRAPH, g=graph)
        graph = outer
    return helper.make_model(graph)


def deep_model(depth: int) -> bytes:
    """Return a model with subgraphs nested deeper than any parser follows."""
    content = b""
    for number in (1, 5, 6) * depth + (7,):  # Graph.node, Node.attribute, Attribute.g; Model.graph
        size, length = len(content), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        content = bytes([number << 3 | 2]) + length + bytes([size]) + content
    return content


PLACES: dict[str, Callable[[TensorProto], ModelProto]] = {
    "initializer": in_initializer,
    "sparse values": in_sparse_initializer,
    "sparse indices": lambda found: in_sparse_initializer(found, is_index=True),
    "tensor attribute": lambda found: with_attribute(AttributeProto(name="value", t=found)),
    "tensors attribute": lambda found: with_attribute(AttributeProto(name="value", tensors=[tensor(None), found])),
    "graph attribute": lambda found: with_attribute(AttributeProto(name="body", g=graph_with(found))),
    "graphs attribute": lambda found: with_attribute(AttributeProto(name="bodies", graphs=[graph_with(found)])),
    "sparse attribute": lambda found: with_attribute(AttributeProto(sparse_tensor=sparse(found, tensor(None)))),
    "sparse attributes": lambda found: with_attribute(AttributeProto(sparse_tensors=[sparse(tensor(None), found)])),
    "function body": in_function,
    "function default": lambda found: in_function(found, is_default=True),
    "training step": lambda found: in_training(found, "algorithm"),
    "training start": lambda found: in_training(found, "initialization"),
    "ten subgraphs deep": lambda found: nested(found, 10),
}


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_rejected_in_every_place(place: str) -> None:
    check_self_contained(PLACES[place](tensor(None)).SerializeToString())
    with pytest.raises(BundleError, match="external data"):
        check_self_contained(PLACES[place](tensor()).SerializeToString())


@pytest.mark.parametrize("location", ["secret-key", "slipway.db", ".env", "../.env", "/etc/passwd", "", "\N{SNOWMAN}"])
def test_graph_rejects_external_data_of_any_location(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SECRET).write_bytes(np.ones(4, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="external data"):
        Graph(in_initializer(tensor(location)).SerializeToString(), NAMES)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.ClearField("data_location"),  # the entry alone
        lambda t: t.ClearField("external_data"),  # the location alone
        lambda t: setattr(t, "raw_data", bytes(16)),  # values of its own beside it
        lambda t: t.external_data.add(key="location", value="other"),
    ],
)
def test_partly_external_tensors_are_rejected(spoil: Callable[[TensorProto], None]) -> None:
    found = tensor()
    spoil(found)
    with pytest.raises(BundleError, match="external data"):
        check_self_contained(in_initializer(found).SerializeToString())


def test_a_repeated_graph_field_hides_nothing() -> None:
    """Protobuf merges repeated occurrences of one field, so the second graph's tensors count, too."""
    first, second = (in_initializer(tensor(location)).SerializeToString() for location in (None, SECRET))
    with pytest.raises(BundleError, match="external data"):
        check_self_contained(first + second)


def test_operators_that_load_files_are_rejected() -> None:
    model = in_initializer(tensor(None))
    model.graph.node.add(op_type="EPContext", domain="com.microsoft")
    with pytest.raises(BundleError, match="EPContext"):
        check_self_contained(model.SerializeToString())


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "own", "ai.onnx.contrib"])
def test_custom_operators_are_rejected_unless_the_model_defines_them(domain: str) -> None:
    model = in_initializer(tensor(None))
    model.graph.node.add(op_type="Mystery", domain=domain)
    if domain in {"own", "ai.onnx.contrib"}:
        with pytest.raises(BundleError, match=f"custom operator '{domain}.Mystery'"):
            check_self_contained(model.SerializeToString())
        model.functions.add(name="Mystery", domain=domain)
    check_self_contained(model.SerializeToString())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ORTM",
        b"\x08\x00\x00\x00ORTM" + bytes(64),
        b"\x3a\xff\xff\xff\xff\x0f",  # a graph of 4 GB
        b"\x3a\x05abc",  # cut off
        deep_model(1_000),
    ],
)
def test_bytes_that_no_onnx_parser_accepts_are_rejected(content: bytes) -> None:
    with pytest.raises(BundleError):
        Graph(content, NAMES)


def test_onnxruntime_may_read_external_data_from_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime rejects external data even without our check."""
    (tmp_path / SECRET).write_bytes(np.ones(4, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("slipway_core.graph.check_self_contained", parse_model)
    with pytest.raises(BundleError):
        Graph(in_initializer(tensor()).SerializeToString(), NAMES)


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(sorted(PLACES)), data=st.data())
def test_changed_bytes_never_pass_with_external_data(place: str, data: st.DataObject) -> None:
    """The check finds all external data that the parser of ONNX finds."""
    content = bytearray(PLACES[place](tensor()).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = onnx.ModelProto.FromString(bytes(content))
        tensors = list(onnx.external_data_helper._get_all_tensors(parsed))
    except (DecodeError, RecursionError):
        return
    if any(t.external_data or t.data_location for t in tensors):
        with pytest.raises(BundleError):
            check_self_contained(bytes(content))


@pytest.mark.parametrize(
    ("operator", "inputs"),
    [
        *((name, []) for name in ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike")),
        *(("Multinomial", ["X"]), ("Bernoulli", ["X"]), ("Dropout", ["X", "", "training"])),
    ],
)
def test_random_operators_are_rejected(operator: str, inputs: list[str]) -> None:
    model = in_initializer(tensor(None))
    model.graph.node.append(helper.make_node(operator, inputs, ["random"]))
    with pytest.raises(BundleError, match=f"{operator}, which gives random results"):
        Graph(model.SerializeToString(), NAMES)


def test_dropout_of_inference_is_accepted() -> None:
    model = in_initializer(tensor(None))
    model.graph.initializer.append(helper.make_tensor("off", TensorProto.BOOL, [], [False]))
    model.graph.node.append(helper.make_node("Dropout", ["X", "", "off"], ["same"]))
    Graph(model.SerializeToString(), NAMES)

"""Parse an ONNX model without running it, and check that it is self-contained.

A tensor may name a file that contains its values ("external data"). ONNX Runtime would read that file on the serving
host, and predictions could expose its content. `check_self_contained` checks every place where ONNX allows a tensor.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from slipway_core.errors import BundleError

# The part of the ONNX schema that leads to tensors and to a classifier's labels:
# message -> field -> (number, repeated, type).
# Source: onnx.proto3 of ONNX 1.23. All other fields are unknown to this schema, and the parser skips them.
_SCHEMA: dict[str, dict[str, tuple[int, bool, str]]] = {
    "Model": {
        "graph": (7, False, "Graph"),
        "training_info": (20, True, "TrainingInfo"),
        "functions": (25, True, "Function"),
    },
    "TrainingInfo": {"initialization": (1, False, "Graph"), "algorithm": (2, False, "Graph")},
    "Function": {
        "name": (1, False, "bytes"),
        "node": (7, True, "Node"),
        "domain": (10, False, "bytes"),
        "attribute_proto": (11, True, "Attribute"),
    },
    "Graph": {
        "node": (1, True, "Node"),
        "initializer": (5, True, "Tensor"),
        "sparse_initializer": (15, True, "SparseTensor"),
    },
    "Node": {
        "input": (1, True, "bytes"),
        "output": (2, True, "bytes"),
        "op_type": (4, False, "bytes"),
        "attribute": (5, True, "Attribute"),
        "domain": (7, False, "bytes"),
    },
    "Attribute": {
        "name": (1, False, "bytes"),
        "i": (3, False, "int64"),
        "s": (4, False, "bytes"),
        "ints": (8, True, "int64"),
        "strings": (9, True, "bytes"),
        "t": (5, False, "Tensor"),
        "g": (6, False, "Graph"),
        "tensors": (10, True, "Tensor"),
        "graphs": (11, True, "Graph"),
        "sparse_tensor": (22, False, "SparseTensor"),
        "sparse_tensors": (23, True, "SparseTensor"),
    },
    "SparseTensor": {"values": (1, False, "Tensor"), "indices": (2, False, "Tensor")},
    "Tensor": {
        "dims": (1, True, "int64"),
        "data_type": (2, False, "int32"),
        "int32_data": (5, True, "int32"),
        "int64_data": (7, True, "int64"),
        "name": (8, False, "bytes"),
        "raw_data": (9, False, "bytes"),
        "external_data": (13, True, "bytes"),
        "data_location": (14, False, "int32"),
    },
}
# TensorProto.DataLocation.DEFAULT: the values are in the tensor itself.
_DEFAULT_LOCATION = 0
_RANDOM_OPERATORS = frozenset(
    b"Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split()
)
# The standard operators, and those that ONNX Runtime itself adds. Any other domain needs a library of native code.
_KNOWN_DOMAINS = frozenset({b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft"})
# Operators that load a file from the host, in any domain.
_FILE_OPERATORS = frozenset({b"EPContext"})


def check_self_contained(model: bytes) -> Any:  # noqa: ANN401  # classes made at run time
    """Parse a serialised ONNX model, and check that it refers to no other file and to no library of operators.

    Raises:
        BundleError: the model refers to another file, has a custom operator, or is damaged.
    """
    parsed = parse_model(model)
    functions = {(function.domain, function.name) for function in parsed.functions}
    for kind, message in walk("Model", parsed):
        if kind == "Tensor" and (message.external_data or message.data_location != _DEFAULT_LOCATION):
            name = message.name.decode(errors="replace")[:80]
            raise BundleError(
                f"the graph's tensor {name!r} has its values in another file (external data), which the API does not "
                "read: export the model as one file, such as with save_as_external_data=False"
            )
        if kind == "Node" and message.op_type in _FILE_OPERATORS:
            operator = message.op_type.decode()
            raise BundleError(f"the graph has the operator {operator}, which loads a file: export the model without it")
        if (
            kind == "Node"
            and message.domain not in _KNOWN_DOMAINS
            and (message.domain, message.op_type) not in functions
        ):
            operator, domain = (text.decode(errors="replace")[:80] for text in (message.op_type, message.domain))
            raise BundleError(
                f"the graph has the custom operator {operator!r} of the domain {domain!r}, which the API does not "
                "load: export the model with the operators of ai.onnx and ai.onnx.ml only"
            )
    return parsed


def check_repeatable(model: Any) -> None:  # noqa: ANN401
    """Raise BundleError if a parsed model has a random operator."""
    made = {name for kind, node in walk("Model", model) if kind == "Node" for name in node.output}
    off = {tensor.name for tensor in model.graph.initializer if _is_false(tensor)} - made
    off |= {
        name
        for node in model.graph.node
        if node.op_type == b"Constant" and any(entry.HasField("t") and _is_false(entry.t) for entry in node.attribute)
        for name in node.output
    }
    for kind, node in walk("Model", model):
        if kind != "Node":
            continue
        # The third input of Dropout is the training mode.
        is_training = node.op_type == b"Dropout" and any(name not in off for name in node.input[2:3] if name)
        if node.op_type in _RANDOM_OPERATORS or is_training:
            raise BundleError(
                f"the graph has the operator {node.op_type.decode()}, which gives random results that golden rows "
                "cannot verify: export the model for inference, without it"
            )


def _is_false(tensor: Any) -> bool:  # noqa: ANN401
    return not any(tensor.raw_data) and not any(tensor.int32_data)


def parse_model(model: bytes) -> Any:  # noqa: ANN401  # classes made at run time
    """Return the parsed parts of a serialised ONNX model that `_SCHEMA` lists.

    Raises:
        BundleError: the model is damaged.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415  # 30 ms that only the load of a model needs

    try:
        return _model_class().FromString(model)
    except DecodeError as error:
        raise BundleError("the graph cannot be loaded: it is not a valid ONNX model; export it again") from error


def walk(kind: str, message: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # classes made at run time
    """Yield every message of a model with its kind. The parser limits the depth to 100."""
    yield kind, message
    for field, (_number, is_repeated, child_kind) in _SCHEMA[kind].items():
        if child_kind not in _SCHEMA:
            continue
        if is_repeated:
            for child in getattr(message, field):
                yield from walk(child_kind, child)
        elif message.HasField(field):
            yield from walk(child_kind, getattr(message, field))


@cache
def _model_class() -> Any:  # noqa: ANN401
    """Return the parser's class for a model, in a separate pool: the `onnx` package registers the same messages."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415

    types = descriptor_pb2.FieldDescriptorProto
    scalars = {"bytes": types.TYPE_BYTES, "int32": types.TYPE_INT32, "int64": types.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(name="slipway/onnx.proto", package="slipway.onnx", syntax="proto2")
    for kind, fields in _SCHEMA.items():
        message = file.message_type.add(name=kind)
        for name, (number, is_repeated, field_kind) in fields.items():
            field = message.field.add(name=name, number=number)
            field.label = types.LABEL_REPEATED if is_repeated else types.LABEL_OPTIONAL
            if field_kind in scalars:
                field.type = scalars[field_kind]
            else:
                field.type, field.type_name = types.TYPE_MESSAGE, f".slipway.onnx.{field_kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("slipway.onnx.Model"))

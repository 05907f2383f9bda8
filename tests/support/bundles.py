"""Small real bundles, built from an ONNX graph that needs no training."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, REFERENCE_FILE, Golden, GoldenOutputs, digest
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.graph import Graph
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE, SCHEMA_VERSION, DataLineage, GraphNames, Manifest
from slipway_core.registry import PRODUCTION
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.promotion import DATA_VERSION_TAG, METRICS_TAG

FEATURES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
CLASSES = ("setosa", "versicolor", "virginica")
NAMES = GraphNames(label="label", scores="probabilities")
GOLDEN_ROWS = ((5.1, 3.5, 1.4, 0.2), (6.0, 2.7, 4.2, 1.3), (6.7, 3.0, 5.2, 2.3))
# Scores that separate the three species by the size of their petals.
WEIGHTS = np.array([[0, 0, -2.0, -2.0], [0, 0, 0.2, 0.0], [0, 0, 1.1, 1.5]], dtype=np.float32).T
BIAS = np.array([8.0, 1.5, -6.5], dtype=np.float32)


Outputs = Mapping[str, tuple[int, list[int | None]]]

CLASSIFIER_OUTPUTS: Outputs = {"label": (TensorProto.INT64, [None]), "probabilities": (TensorProto.FLOAT, [None, 3])}


def graph_of(
    nodes: Sequence[NodeProto], outputs: Outputs, constants: Mapping[str, np.ndarray], input_name: str = "X"
) -> bytes:
    """Return a serialised ONNX graph of four features, with the type and shape of each output."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info(name, *output) for name, output in outputs.items()],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def linear_classifier(bias: np.ndarray = BIAS, *, input_name: str = "X") -> bytes:
    """Return a softmax classifier of four features and three classes as a serialised ONNX graph."""
    constants = {"W": WEIGHTS, "B": bias}
    return graph_of(linear_nodes(input_name), CLASSIFIER_OUTPUTS, constants, input_name)


def linear_nodes(features: str) -> list[NodeProto]:
    """Return the nodes of a softmax classifier of a tensor of features."""
    return [
        helper.make_node("MatMul", [features, "W"], ["products"]),
        helper.make_node("Add", ["products", "B"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]


def linear_classifier_after(nodes: Sequence[NodeProto], constants: Mapping[str, np.ndarray]) -> bytes:
    """Return the linear classifier after nodes that compute the scalar 0, named `zero`, from `X`."""
    add = helper.make_node("Add", ["X", "zero"], ["same"])
    return graph_of([*nodes, add, *linear_nodes("same")], CLASSIFIER_OUTPUTS, {"W": WEIGHTS, "B": BIAS, **constants})


def echo_classifier() -> bytes:
    """Return a classifier that outputs a tenth of its features: the first as the class, the others as scores."""
    nodes = [
        helper.make_node("Div", ["X", "ten"], ["tenths"]),
        helper.make_node("Gather", ["tenths", "first"], ["index"], axis=1),
        helper.make_node("Cast", ["index"], ["label"], to=TensorProto.INT64),
        helper.make_node("Gather", ["tenths", "others"], ["probabilities"], axis=1),
    ]
    constants = {"ten": np.array(10, dtype=np.float32), "first": np.array(0), "others": np.array([1, 2, 3])}
    return graph_of(nodes, CLASSIFIER_OUTPUTS, constants)


def regressor() -> bytes:
    """Return a regressor that sums its four features as a serialised ONNX graph."""
    total = helper.make_node("ReduceSum", ["X", "axes"], ["value"], keepdims=1)
    return graph_of([total], {"value": (TensorProto.FLOAT, [None, 1])}, {"axes": np.array([1])})


def golden_of(model: bytes, names: GraphNames = NAMES) -> Golden:
    """Return the golden rows of a graph, computed with it."""
    outputs = Graph(model, names).run(np.array(GOLDEN_ROWS, dtype=np.float32))
    scores = None if outputs.scores is None else outputs.scores.tolist()
    expected = GoldenOutputs(prediction=outputs.prediction.tolist(), scores=scores)
    return Golden(rows=GOLDEN_ROWS, outputs=expected, rtol=1e-5, atol=1e-5)


def bundle_files(
    name: str = "iris", model: bytes | None = None, golden: Golden | None = None, **changes: object
) -> dict[str, bytes]:
    """Return the files of a bundle with correct digests.

    Args:
        name: the model's name.
        model: the serialised graph; a linear classifier by default.
        golden: the golden rows; by default those that the graph produces.
        changes: fields of the manifest to set.
    """
    model = linear_classifier() if model is None else model
    names = changes.get("graph", NAMES)
    assert isinstance(names, GraphNames)
    golden = golden_of(model, names) if golden is None else golden
    files = {MODEL_FILE: model, GOLDEN_FILE: golden.model_dump_json().encode(), REFERENCE_FILE: b"not read by serving"}
    fields: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "task": "classification",
        "columns": [InputColumn(name=n, dtype="float32", min=0.0, max=8.0, unit="cm") for n in FEATURES],
        "inputs": [GraphInput(name="X", dtype="float32", shape=(len(FEATURES),))],
        "graph": NAMES,
        "classes": CLASSES,
        "metrics": {"accuracy": 0.97},
        "data": DataLineage(version=digest(b"data"), rows=150, split="stratified"),
        "recipe": name,
        "created_at": datetime(2026, 11, 20, 12, tzinfo=UTC),
        "digests": {file: digest(content) for file, content in files.items()},
        **changes,
    }
    manifest = Manifest.model_validate(fields)
    files[MANIFEST_FILE] = json.dumps(manifest.model_dump(mode="json")).encode()
    return files


def regression_files(name: str = "demand") -> dict[str, bytes]:
    """Return the files of a regressor's bundle."""
    names = GraphNames(label="value")
    return bundle_files(name, regressor(), task="regression", classes=None, graph=names, metrics={"r2": 0.9})


def register(registry: InMemoryRegistry, files: dict[str, bytes], name: str = "iris", *, promote: bool = False) -> str:
    """Register a bundle's files as a new version, tagged as the trainer does, and return its number."""
    tags = {
        MANIFEST_TAG: digest(files[MANIFEST_FILE]),
        METRICS_TAG: '{"accuracy": 0.97}',
        DATA_VERSION_TAG: digest(b"data"),
    }
    version = registry.add_version(name, files, run_id="0" * 32, tags=tags).version
    if promote:
        registry.set_alias(name, PRODUCTION, version)
    return version

"""Graphs that other tools exported: served like their estimators, or rejected at load with the exact reason."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from slipway_api.accounts.models import Role
from slipway_api.serving.opening import open_foreign
from slipway_api.serving.served_model import ServedModel
from slipway_core.bundle import MLMODEL_FILE
from slipway_core.errors import BundleError
from slipway_core.manifest import MODEL_FILE, SCHEMA_VERSION, label_text
from slipway_core.registry import PRODUCTION, ModelVersion
from slipway_core.registry.memory import InMemoryRegistry
from support.api import StartApi

VERSION = ModelVersion("foreign", "1", created_at=1_000_000.0)
N_ROWS = 60
RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal(size=(N_ROWS, 3))
# Beyond float32, so that a graph of double inputs differs if its inputs are rounded.
PRECISE = NUMBERS + 1e6
FRAME = pd.DataFrame(
    {
        "color": np.array(["red", "green", "blue"])[np.digitize(NUMBERS[:, 0], (-0.5, 0.5))],
        "size": np.array(["s", "l"])[(NUMBERS[:, 1] > 0).astype(int)],
        "width": PRECISE[:, 0],
        "count": np.round(NUMBERS[:, 1] * 10).astype(np.int64),
        "is_new": NUMBERS[:, 2] > 0,
    }
)
LABELS: dict[str, Sequence[Any]] = {
    "text": ("no", "perhaps", "yes"),
    "from 1": (1, 2, 3),
    "from 0": (0, 1, 2),
    "negative": (-7, 30, 2),
    "booleans": (False, True),
    "two texts": ("yes", "no"),
}


def target(labels: str) -> Any:
    kinds = LABELS[labels]
    return np.array(kinds)[np.digitize(NUMBERS[:, 0], (-0.3, 0.3)[: len(kinds) - 1])]


def mlmodel(inputs: object = None) -> bytes:
    """Return an MLmodel file with a signature, or without one."""
    signature = {} if inputs is None else {"signature": {"inputs": json.dumps(inputs), "outputs": None}}
    return yaml.safe_dump({"flavors": {"onnx": {"data": MODEL_FILE}}, **signature}).encode()


def columns_of(**kinds: str) -> list[dict[str, Any]]:
    return [{"type": kind, "name": name, "required": True} for name, kind in kinds.items()]


def tensor_of(dtype: str, width: int, name: str | None = None) -> list[dict[str, Any]]:
    spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, width]}}
    return [spec if name is None else {**spec, "name": name}]


class Inputs(NamedTuple):
    """Training rows, the types of the graph's inputs, and MLflow's signature."""

    rows: Any
    types: Sequence[tuple[str, Any]]
    signature: object
    dtypes: Sequence[str]
    encoder: Any = None


def matrix(values: Any, kind: Any, signature: object, dtype: str, encoder: Any = None) -> Inputs:
    return Inputs(values, [("X", kind([None, values.shape[1]]))], signature, [dtype] * values.shape[1], encoder)


ONE_INPUT_PER_COLUMN = [
    ("color", StringTensorType([None, 1])),
    ("size", StringTensorType([None, 1])),
    ("width", DoubleTensorType([None, 1])),
    ("count", Int64TensorType([None, 1])),
    ("is_new", BooleanTensorType([None, 1])),
]
MIXED = make_column_transformer(
    (OneHotEncoder(), ["color", "size"]), (StandardScaler(), ["width", "count"]), remainder="drop"
)
TEXTS = FRAME[["color", "size"]].to_numpy(dtype=object)
WHOLE = np.round(NUMBERS * 10)
INPUTS = {
    "float32 by column": matrix(
        NUMBERS.astype(np.float32), FloatTensorType, columns_of(a="double", b="float", c="double"), "float32"
    ),
    "float32 without a signature": matrix(NUMBERS.astype(np.float32), FloatTensorType, None, "float32"),
    "float64 tensor": matrix(PRECISE, DoubleTensorType, tensor_of("float64", 3), "float64", StandardScaler()),
    "float64 by column": matrix(PRECISE, DoubleTensorType, columns_of(a="double", b="double", c="double"), "float64"),
    "int64": matrix(WHOLE.astype(np.int64), Int64TensorType, columns_of(a="long", b="long", c="long"), "int64"),
    "int64 of doubles": matrix(WHOLE.astype(np.int64), Int64TensorType, tensor_of("float64", 3), "int64"),
    "integers in float32": matrix(
        WHOLE.astype(np.float32), FloatTensorType, columns_of(a="long", b="long", c="long"), "int64"
    ),
    "bool": matrix(NUMBERS > 0, BooleanTensorType, columns_of(a="boolean", b="boolean", c="boolean"), "bool"),
    "bool without a signature": matrix(NUMBERS > 0, BooleanTensorType, None, "bool"),
    "texts": matrix(TEXTS, StringTensorType, columns_of(color="string", size="string"), "string", OneHotEncoder()),
    "ordinal texts": matrix(TEXTS, StringTensorType, tensor_of("object", 2), "string", OrdinalEncoder()),
    "mixed": Inputs(
        FRAME[["color", "size", "width", "count"]],
        ONE_INPUT_PER_COLUMN[:4],
        columns_of(width="double", color="string", size="string", count="long"),
        ["float64", "string", "string", "int64"],
        MIXED,
    ),
    "mixed without a signature": Inputs(
        FRAME[["color", "size", "width", "count"]],
        ONE_INPUT_PER_COLUMN[:4],
        None,
        ["string", "string", "float64", "int64"],
        MIXED,
    ),
    "two matrices": Inputs(
        FRAME[["color", "size", "width", "count"]],
        [("texts", StringTensorType([None, 2])), ("numbers", DoubleTensorType([None, 2]))],
        [*tensor_of("float64", 2, "numbers"), *tensor_of("str5", 2, "texts")],
        ["string", "string", "float64", "float64"],
        make_column_transformer((OneHotEncoder(), [0, 1]), (StandardScaler(), [2, 3])),
    ),
}
LOGISTIC, TREE = LogisticRegression(max_iter=1_000), DecisionTreeClassifier(max_depth=4, random_state=0)
FOREST = RandomForestClassifier(4, random_state=0)
OFF: dict[str, Any] = {"zipmap": False}
ON: dict[str, Any] = {}
# Each row: the inputs, the estimator, its labels, and the options of the export.
CLASSIFIERS: list[tuple[str, Any, str, dict[str, Any]]] = [
    *((inputs, LOGISTIC, "text", ON) for inputs in INPUTS),
    *((inputs, TREE, "from 1", ON) for inputs in INPUTS),
    *(("float32 by column", LOGISTIC, labels, options) for labels in LABELS for options in (ON, OFF)),
    *(("float64 tensor", kind, labels, ON) for kind in (LOGISTIC, TREE) for labels in LABELS),
    *(("float64 tensor", FOREST, labels, options) for labels in LABELS for options in (ON, OFF)),
    *(("mixed", FOREST, labels, OFF) for labels in LABELS),
]
# skl2onnx exports no valid graph of this tree for float64.
REGRESSORS = [
    *((inputs, LinearRegression()) for inputs in INPUTS),
    *((inputs, DecisionTreeRegressor(max_depth=3)) for inputs in INPUTS if not inputs.startswith("float64")),
]
OPSETS = [11, 13, 15, 18, 21]


def opened(folder: Path, model: bytes, signature: object = None) -> ServedModel:
    (folder / MLMODEL_FILE).write_bytes(mlmodel(signature))
    (folder / MODEL_FILE).write_bytes(model)
    return open_foreign(folder, VERSION)


def fitted(inputs: Inputs, estimator: Any, goal: Any) -> Any:
    steps = [estimator] if inputs.encoder is None else [inputs.encoder, estimator]
    rows = inputs.rows if len(inputs.types) != 2 else inputs.rows.to_numpy(dtype=object)
    return make_pipeline(*steps).fit(rows, goal)


def exported(inputs: Inputs, pipeline: Any, options: Mapping[str, Any], opset: int | None = None) -> bytes:
    last = pipeline.steps[-1][1]
    chosen = {id(last): dict(options)} if options else None
    model = convert_sklearn(pipeline, initial_types=list(inputs.types), options=chosen, target_opset=opset)
    return bytes(model.SerializeToString())


def rows_of(inputs: Inputs, model: ServedModel) -> list[list[Any]]:
    """Return the training rows as clients send them, in the order of the model's columns."""
    if isinstance(inputs.rows, np.ndarray):
        return inputs.rows.tolist()  # type: ignore[no-any-return]
    names = list(inputs.rows.columns)
    if set(names) == set(model.signature.names):
        names = list(model.signature.names)
    return [list(row) for row in inputs.rows[names].astype(object).itertuples(index=False)]


def predict(pipeline: Any, inputs: Inputs, method: str) -> Any:
    rows = inputs.rows if len(inputs.types) != 2 else inputs.rows.to_numpy(dtype=object)
    return getattr(pipeline, method)(rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "estimator", "labels", "options"), CLASSIFIERS)
def test_foreign_classifier_agrees_with_its_estimator(
    tmp_path: Path, kind: str, estimator: Any, labels: str, options: dict[str, Any]
) -> None:
    inputs = INPUTS[kind]
    pipeline = fitted(inputs, estimator, target(labels))

    model = opened(tmp_path, exported(inputs, pipeline, options), inputs.signature)
    outputs = model.answer(model.signature.rows(rows_of(inputs, model)))

    classes = pipeline.classes_.tolist()
    assert model.manifest.schema_version == SCHEMA_VERSION
    assert sorted(column.dtype for column in model.manifest.columns) == sorted(inputs.dtypes)
    assert model.manifest.classes == tuple(int(one) if isinstance(one, bool) else one for one in classes)
    assert [classes[index] for index in outputs.prediction] == predict(pipeline, inputs, "predict").tolist()
    assert outputs.scores is not None
    assert outputs.scores.dtype == np.float32
    assert np.allclose(outputs.scores, predict(pipeline, inputs, "predict_proba"), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "estimator"), REGRESSORS)
def test_foreign_regressor_agrees_with_its_estimator(tmp_path: Path, kind: str, estimator: Any) -> None:
    inputs = INPUTS[kind]
    goal = NUMBERS @ [1.0, 2.0, 3.0]
    pipeline = fitted(inputs, estimator, goal)

    model = opened(tmp_path, exported(inputs, pipeline, {}), inputs.signature)
    outputs = model.answer(model.signature.rows(rows_of(inputs, model)))

    assert (model.manifest.task, model.manifest.classes, outputs.scores) == ("regression", None, None)
    assert np.allclose(outputs.prediction, predict(pipeline, inputs, "predict"), atol=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("estimator", [LOGISTIC, TREE], ids=["logistic", "tree"])
def test_opsets_give_the_same_answers(tmp_path: Path, estimator: Any, opset: int) -> None:
    inputs = INPUTS["mixed"]
    pipeline = fitted(inputs, estimator, target("text"))

    model = opened(tmp_path, exported(inputs, pipeline, ON, opset), inputs.signature)
    outputs = model.answer(model.signature.rows(rows_of(inputs, model)))

    assert [model.labels[index] for index in outputs.prediction] == predict(pipeline, inputs, "predict").tolist()


def info(name: str, kind: int, shape: Sequence[int | str | None] | None) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def graph_of(
    nodes: Sequence[NodeProto],
    outputs: Sequence[ValueInfoProto],
    inputs: Sequence[ValueInfoProto] = (info("X", TensorProto.FLOAT, [None, 3]),),
    opset: int = 17,
    **constants: Any,
) -> bytes:
    """Return a graph; `X` is its default input."""
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", opset), ("ai.onnx.ml", 3), ("own", 1))]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """Return a node of the standard, or of the machine learning operators."""
    ml = {"ZipMap", "LinearClassifier", "LinearRegressor", "OneHotEncoder"}
    domain = attributes.pop("domain", "ai.onnx.ml" if kind in ml else "")
    return helper.make_node(kind, inputs.split(","), outputs.split(","), domain=domain, **attributes)


FLOAT, DOUBLE, INT64, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
SUM = node("ReduceSum", "X,axis", "value", keepdims=0)
AXIS: dict[str, Any] = {"axis": np.array([1])}
SCORES, LABEL = info("scores", FLOAT, None), info("label", INT64, None)
SOFTMAX, ARGMAX = node("Softmax", "X", "scores", axis=1), node("ArgMax", "X", "label", axis=1, keepdims=0)


def after_cast(kind: int) -> bytes:
    """Return a regressor of an integer type, which skl2onnx does not export."""
    nodes = [node("Cast", "X", "wide", to=FLOAT), node("ReduceSum", "wide,axis", "value", keepdims=1)]
    return graph_of(nodes, [info("value", FLOAT, [None, 1])], [info("X", kind, [None, 3])], **AXIS)


SERVED = {
    "a vector": (graph_of([SUM], [info("value", FLOAT, [None])], **AXIS), [6.0, 1.5]),
    "a vector of unknown shape": (graph_of([SUM], [info("value", FLOAT, None)], **AXIS), [6.0, 1.5]),
    **{
        f"an input of type {kind}": (after_cast(kind), [6.0, 2.0])
        for kind in (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.UINT8, TensorProto.UINT16)
    },
    "labels of 32 bits": (
        graph_of(
            [SOFTMAX, node("ArgMax", "X", "i", axis=1, keepdims=0), node("Cast", "i", "label", to=TensorProto.INT32)],
            [info("label", TensorProto.INT32, None), SCORES],
        ),
        ["2", "0"],
    ),
    "labels in a column": (
        graph_of([SOFTMAX, node("ArgMax", "X", "label", axis=1)], [info("label", INT64, [None, 1]), SCORES]),
        ["2", "0"],
    ),
    "probabilities before labels": (graph_of([SOFTMAX, ARGMAX], [SCORES, LABEL]), ["2", "0"]),
    "an input per column": (
        graph_of(
            [node("Concat", "a,b,c", "X", axis=1), SUM],
            [info("value", FLOAT, [None])],
            [info(name, FLOAT, [None, 1]) for name in "abc"],
            **AXIS,
        ),
        [6.0, 1.5],
    ),
}


@pytest.mark.parametrize("name", SERVED)
def test_unusual_graph_is_served(tmp_path: Path, name: str) -> None:
    graph, expected = SERVED[name]

    model = opened(tmp_path, graph)
    rows = [[1, 2, 3], [1, 0, 1]] if model.manifest.columns[0].dtype == "int64" else [[1, 2, 3], [1.0, 0.0, 0.5]]
    outputs = model.answer(model.signature.rows(rows))

    found = outputs.prediction.tolist()
    assert ([model.labels[index] for index in found] if model.labels else found) == expected


def linear_double_regressor() -> bytes:
    pipeline = DecisionTreeRegressor(max_depth=2).fit(NUMBERS, NUMBERS[:, 0])
    return bytes(convert_sklearn(pipeline, initial_types=[("X", DoubleTensorType([None, 3]))]).SerializeToString())


def with_external_data() -> bytes:
    model = ModelProto.FromString(graph_of([SUM], [info("value", FLOAT, [None])], **AXIS))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    return bytes(model.SerializeToString())


def with_zipmap(labels: Sequence[int] | Sequence[str], *more: NodeProto) -> bytes:
    attribute = "classlabels_int64s" if isinstance(labels[0], int) else "classlabels_strings"
    kind = INT64 if isinstance(labels[0], int) else STRING
    entry = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(FLOAT, []))
    output = helper.make_value_info("maps", helper.make_sequence_type_proto(entry))
    return graph_of([SOFTMAX, ARGMAX, node("ZipMap", "scores", "maps", **{attribute: labels}), *more], [LABEL, output])


def over_columns(kind: int, shape: Sequence[int | str | None] | None) -> bytes:
    nodes = [node("Cast", "X", "wide", to=FLOAT), node("ReduceSum", "wide,axis", "value", keepdims=0)]
    return graph_of(nodes, [info("value", FLOAT, None)], [info("X", kind, shape)], **AXIS)


VALUE = info("value", FLOAT, None)
REFUSED = {
    "float16": (over_columns(TensorProto.FLOAT16, [None, 3]), None, "input 'X' has the type tensor(float16), but the"),
    "uint64": (over_columns(TensorProto.UINT64, [None, 3]), None, "input 'X' has the type tensor(uint64), but the API"),
    "one axis": (
        graph_of([node("Identity", "X", "value")], [VALUE], [info("X", FLOAT, [None])]),
        None,
        "input 'X' has 1 dimension, but the API serves tables",
    ),
    "an image": (over_columns(FLOAT, [None, 3, 8, 8]), None, "input 'X' has 4 dimensions, but the API serves tables"),
    "one row": (over_columns(FLOAT, [1, 3]), None, "input 'X' takes exactly 1 row: export it with a dynamic first"),
    "unknown width": (over_columns(FLOAT, [None, None]), None, "does not state how many columns its input 'X' has"),
    "no columns": (over_columns(FLOAT, [None, 0]), None, "input 'X' has 0 columns, but must have 1 to 10000"),
    "another width": (
        over_columns(FLOAT, [None, 3]),
        tensor_of("float32", 4),
        "has 4 columns for the graph's input 'X'",
    ),
    "text for numbers": (
        over_columns(FLOAT, [None, 1]),
        columns_of(a="string"),
        "the column 'a' of its MLflow signature is of the kind string, but the graph's input 'X' takes float32",
    ),
    "numbers for booleans": (
        over_columns(TensorProto.BOOL, [None, 1]),
        columns_of(a="double"),
        "is of the kind float, but the graph's input 'X' takes bool",
    ),
    "dates": (
        over_columns(FLOAT, [None, 1]),
        columns_of(a="datetime"),
        "column 1 of its MLflow signature has the type",
    ),
    "other names": (
        SERVED["an input per column"][0],
        columns_of(a="double", b="double", d="double"),
        "has the columns 'a', 'b', 'd', but the graph has the inputs 'a', 'b', 'c'",
    ),
    "several targets": (
        graph_of([node("Identity", "X", "value")], [VALUE]),
        None,
        "only output 'value' has 3 values per row, which are several targets, or probabilities without labels",
    ),
    "labels alone": (graph_of([ARGMAX], [LABEL]), None, "returns labels without probabilities"),
    "maps alone": (
        graph_of(
            [SOFTMAX, node("ZipMap", "scores", "maps", classlabels_int64s=[0, 1, 2])],
            [
                helper.make_value_info(
                    "maps",
                    helper.make_sequence_type_proto(
                        helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
                    ),
                )
            ],
        ),
        None,
        "returns probabilities without labels",
    ),
    "one probability": (
        graph_of(
            [
                SUM,
                node("Sigmoid", "value", "scores"),
                node("Greater", "value,nought", "b"),
                node("Cast", "b", "label", to=7),
            ],
            [LABEL, SCORES],
            nought=np.array(0, np.float32),
            **AXIS,
        ),
        None,
        "returns one probability per row, but must return one per class",
    ),
    "two outputs of floats": (
        graph_of([SUM, node("Abs", "value", "scores")], [VALUE, SCORES], **AXIS),
        None,
        "the graph's outputs are 'value' (tensor(float)), 'scores' (tensor(float))",
    ),
    "float16 outputs": (
        graph_of([SUM, node("Cast", "value", "half", to=10)], [info("half", TensorProto.FLOAT16, None)], **AXIS),
        None,
        "the graph's outputs are 'half' (tensor(float16))",
    ),
    "a list of tensors": (
        graph_of(
            [SUM, node("SequenceConstruct", "value", "list")],
            [helper.make_tensor_sequence_value_info("list", FLOAT, None)],
            **AXIS,
        ),
        None,
        "the graph's outputs are 'list' (seq(tensor(float)))",
    ),
    "several labels": (
        graph_of([SOFTMAX, node("Cast", "X", "label", to=INT64)], [LABEL, SCORES]),
        None,
        "the graph returns 3 labels for one row",
    ),
    "other classes in the ZipMap": (with_zipmap([0, 2, 1]), None, "ZipMap names other classes than its labels are"),
    "texts in the ZipMap": (with_zipmap(["0", "1", "2"]), None, "ZipMap names other classes than its labels are"),
    "two ZipMaps": (
        with_zipmap([0, 1, 2], node("ZipMap", "scores", "others", classlabels_int64s=[0, 1, 2])),
        None,
        "uses ZipMap other than for the output of its probabilities",
    ),
    "unprintable labels": (
        graph_of(
            [
                node(
                    "LinearClassifier",
                    "X",
                    "label,scores",
                    classlabels_strings=["a", "b\x1b", "c"],
                    coefficients=[1.0] * 9,
                    intercepts=[0.0] * 3,
                    post_transform="SOFTMAX",
                )
            ],
            [info("label", STRING, None), SCORES],
        ),
        None,
        "a class of the graph is not a text of at most 256 printable characters",
    ),
    "external data": (with_external_data(), None, "has its values in another file (external data)"),
    "a custom operator": (
        graph_of([node("Mine", "X", "value", domain="own")], [VALUE]),
        None,
        "has the custom operator 'own.Mine', whose library the API does not load",
    ),
    "an unknown operator": (graph_of([node("Mine", "X", "value")], [VALUE]), None, "has no operator Mine in opset 17"),
    "an unknown contributed operator": (
        graph_of([node("Mine", "X", "value", domain="com.microsoft")], [VALUE]),
        None,
        "has no operator com.microsoft:Mine",
    ),
    "a new opset": (graph_of([SUM], [VALUE], opset=99, **AXIS), None, "its opset of ai.onnx is newer than"),
    "no kernel": (
        graph_of([node("Erf", "X", "value")], [info("value", DOUBLE, None)], [info("X", DOUBLE, [None, 1])]),
        None,
        "has no implementation of its operator Erf for the types of its tensors: export it as float32",
    ),
    "a wrong type": (
        graph_of([node("Relu", "X", "value")], [info("value", STRING, None)], [info("X", STRING, [None, 1])]),
        None,
        "its operator Relu does not take an input of the type tensor(string)",
    ),
    "mixed types": (
        graph_of(
            [node("Cast", "X", "wide", to=DOUBLE), node("Mul", "X,wide", "value")],
            [VALUE],
            [info("X", FLOAT, [None, 1])],
        ),
        None,
        "its operator Mul has inputs of the types tensor(float) and tensor(double)",
    ),
    "types that contradict each other": (
        linear_double_regressor(),
        None,
        "states the type tensor(double) for the output",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_graph_is_rejected_with_the_exact_reason(tmp_path: Path, name: str) -> None:
    graph, signature, reason = REFUSED[name]

    with pytest.raises(BundleError) as raised:
        opened(tmp_path, graph, signature)

    assert reason in str(raised.value)
    assert len(str(raised.value)) < 500
    assert "/" not in str(raised.value).replace("and/or", "")


@pytest.fixture
def served(start_api: StartApi) -> Any:
    """Return a function that serves a classifier of two numbers with these labels, exported with the default ZipMap."""

    def serve(labels: Sequence[Any], kind: Any = DoubleTensorType) -> Any:
        rows = np.array([[float(index), 0.0] for index in range(len(labels))])
        pipeline = DecisionTreeClassifier().fit(rows, np.array(labels))
        model = convert_sklearn(pipeline, initial_types=[("X", kind([None, 2]))])
        registry = InMemoryRegistry()
        files = {MLMODEL_FILE: mlmodel(columns_of(a="double", b="double")), MODEL_FILE: model.SerializeToString()}
        registry.set_alias("iris", PRODUCTION, registry.add_version("iris", files).version)
        return start_api(registry, allow_unverified_models=True)

    return serve


@pytest.mark.parametrize("kind", [FloatTensorType, DoubleTensorType])
@pytest.mark.parametrize("labels", [(1, 2, 3), ("no", "perhaps", "yes"), (-5, 0, 70)])
def test_each_protocol_returns_the_labels_of_the_graph(served: Any, labels: Sequence[Any], kind: Any) -> None:
    api = served(labels, kind)
    rows = [[float(index), 0.0] for index in (2, 0, 1)]
    expected = [labels[index] for index in (2, 0, 1)]
    named = {
        "inputs": [{"name": n, "shape": [3], "datatype": "FP64", "data": c} for n, *c in zip("ab", *rows, strict=True)]
    }

    native = api.post("/predict", role=Role.USER, json={"features": rows}).json()
    scored = api.post("/invocations", role=Role.USER, json={"instances": rows}).json()
    whole = api.post("/invocations", role=Role.USER, json={"inputs": {"X": rows}}).json()
    v1 = api.post("/v1/models/iris:predict", role=Role.USER, json={"instances": rows}).json()
    csv = api.post("/invocations", role=Role.USER, json={"instances": rows}, headers={"Accept": "text/csv"}).text
    outputs = {
        one["name"]: one for one in api.post("/v2/models/iris/infer", role=Role.USER, json=named).json()["outputs"]
    }

    texts = [label_text(one) for one in expected]
    assert (native["prediction"], native["label"]) == ([2, 0, 1], texts)
    assert native["probabilities"] == np.eye(3)[[2, 0, 1]].tolist()
    assert scored == whole == v1 == {"predictions": expected}
    assert csv.splitlines() == texts
    label, scores, name = outputs.values()
    assert (label["datatype"], label["data"], name["datatype"], name["data"]) == ("INT64", [2, 0, 1], "BYTES", texts)
    assert scores["data"] == np.eye(3)[[2, 0, 1]].ravel().tolist()


def test_csv_of_labels_is_quoted(served: Any) -> None:
    api = served(("a, b", 'c "d"', "e"))

    answer = api.post(
        "/invocations", role=Role.USER, json={"instances": [[0, 0], [1, 0]]}, headers={"Accept": "text/csv"}
    )

    assert answer.text == '"a, b"\n"c ""d"""\n'


def test_value_outside_the_categories_of_an_encoder_is_rejected(start_api: StartApi) -> None:
    inputs = INPUTS["mixed"]
    pipeline = fitted(inputs, LOGISTIC, target("text"))
    registry = InMemoryRegistry()
    files = {MLMODEL_FILE: mlmodel(inputs.signature), MODEL_FILE: exported(inputs, pipeline, ON)}
    registry.set_alias("iris", PRODUCTION, registry.add_version("iris", files).version)
    api = start_api(registry, allow_unverified_models=True)
    row = {"color": "pink", "size": "s", "width": 1e6, "count": 1}

    answer = api.post("/predict", role=Role.USER, json={"features": row})

    assert answer.status_code == 422
    assert "'color' must be one of 'blue', 'green', 'red', not 'pink'" in answer.text


def test_double_regressor_keeps_its_precision(start_api: StartApi) -> None:
    pipeline = LinearRegression().fit(PRECISE, PRECISE[:, 0])
    model = convert_sklearn(pipeline, initial_types=[("X", DoubleTensorType([None, 3]))]).SerializeToString()
    registry = InMemoryRegistry()
    files = {MLMODEL_FILE: mlmodel(tensor_of("float64", 3)), MODEL_FILE: model}
    registry.set_alias("iris", PRODUCTION, registry.add_version("iris", files).version)
    api = start_api(registry, allow_unverified_models=True)
    row = PRECISE[0].tolist()
    tensors = [{"name": f"feature_{i}", "shape": [1], "datatype": "FP64", "data": [row[i]]} for i in range(3)]

    native = api.post("/predict", role=Role.USER, json={"features": row}).json()["prediction"]
    [output] = api.post("/v2/models/iris/infer", role=Role.USER, json={"inputs": tensors}).json()["outputs"]

    assert native == output["data"] == pytest.approx([row[0]], rel=1e-12)
    assert output["datatype"] == "FP64"

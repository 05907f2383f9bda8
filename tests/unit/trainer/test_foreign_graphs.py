"""ONNX graphs of other programs: their bundles predict what they predict themselves, or the reason is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from slipway_core.errors import SlipwayError
from support.conversions import cells_of, convert, csv_data
from support.foreign import iris, penguins

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, SPECIES = iris().iloc[:, :4].astype("float32"), iris()["target"]
TEXT = SPECIES.map({0: "no", 1: "yes", 2: "maybe"})
COUNTS = (IRIS * 10).astype("int64")
BIRDS = penguins().dropna().reset_index(drop=True)[["island", "bill_length_mm", "species"]]
PAIRS = pd.DataFrame({"b": [1.5, 2.5, 1e12], "a": [3.0, 4.0, 5.0]})


def exported(model: Any, rows: pd.DataFrame, target: Any, kind: Any = FloatTensorType, **options: Any) -> Any:
    model.fit(rows.to_numpy(), target)
    given = {"options": {id(model): options}} if options else {}
    return to_onnx(model, initial_types=[("X", kind([None, rows.shape[1]]))], **given)


def tensors(kind: int, shape: list[Any], *names: str) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, kind, shape) for name in names]


def graph(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    *constants: onnx.TensorProto,
) -> onnx.ModelProto:
    body = helper.make_graph(nodes, "theirs", inputs, outputs, list(constants))
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weighted(*more: onnx.NodeProto, output: str = "scores", kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Return a graph that multiplies four numbers by a matrix, followed by other operators."""
    weights = helper.make_tensor("W", TensorProto.FLOAT, [4, 3], np.linspace(-1, 1, 12).tolist())
    nodes = [helper.make_node("MatMul", ["X", "W"], ["product"]), *more]
    return graph(nodes, tensors(TensorProto.FLOAT, [None, 4], "X"), tensors(kind, [None, 3], output), weights)


def by_column(**options: Any) -> Any:
    encode = ColumnTransformer([("text", OneHotEncoder(**options), ["island"])], remainder="passthrough")
    model = make_pipeline(encode, RandomForestClassifier(5, random_state=0))
    model.fit(BIRDS[["island", "bill_length_mm"]], BIRDS["species"])
    types: list[Any] = [("island", StringTensorType([None, 1])), ("bill_length_mm", DoubleTensorType([None, 1]))]
    return to_onnx(model, initial_types=types)


def own_predictions(model: onnx.ModelProto, feed: dict[str, Any]) -> tuple[list[Any], Any]:
    """Return the labels or values, and the probabilities, of a graph as it was exported."""
    import onnxruntime  # noqa: PLC0415

    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    if len(found) == 1:
        return np.asarray(found[0]).ravel().tolist(), None
    scores = found[1]
    if isinstance(scores, list):
        scores = np.array([list(row.values()) for row in scores])
    return found[0].tolist(), scores


SERVED: dict[str, tuple[Callable[[], Any], pd.DataFrame, Any]] = {
    "ZipMap and text": (lambda: exported(RandomForestClassifier(5), IRIS, TEXT), IRIS, TEXT),
    "text without ZipMap": (lambda: exported(MLPClassifier((4,), max_iter=20), IRIS, TEXT, zipmap=False), IRIS, TEXT),
    "integers from 1": (lambda: exported(LogisticRegression(), IRIS, SPECIES + 1, zipmap=False), IRIS, SPECIES + 1),
    "integers and ZipMap": (lambda: exported(LogisticRegression(), IRIS, SPECIES + 1), IRIS, SPECIES + 1),
    "truth values": (lambda: exported(LogisticRegression(), IRIS, SPECIES == 1), IRIS, SPECIES == 1),
    "a matrix of integers": (
        lambda: exported(RandomForestRegressor(5), COUNTS, SPECIES * 1.5, Int64TensorType),
        COUNTS,
        SPECIES * 1.5,
    ),
    "a matrix of doubles": (
        lambda: exported(LinearRegression(), IRIS.astype("float64"), SPECIES * 1.5, DoubleTensorType),
        IRIS.astype("float64"),
        SPECIES * 1.5,
    ),
    "one input per column": (by_column, BIRDS[["island", "bill_length_mm"]], BIRDS["species"]),
    "one input per column that takes known texts only": (
        lambda: by_column(handle_unknown="error"),
        BIRDS[["island", "bill_length_mm"]],
        BIRDS["species"],
    ),
    "vectors in another order": (
        lambda: graph(
            [helper.make_node("Sub", ["a", "b"], ["difference"])],
            tensors(TensorProto.DOUBLE, ["N"], "a", "b"),
            tensors(TensorProto.DOUBLE, ["N"], "difference"),
        ),
        PAIRS,
        PAIRS["a"] - PAIRS["b"],
    ),
}


@pytest.mark.parametrize("case", SERVED)
def test_bundle_predicts_what_the_graph_predicts(case: str, tmp_path: Path) -> None:
    made, rows, target = SERVED[case]
    model = made()
    names = [port.name for port in model.graph.input]
    feed: dict[str, Any] = {name: rows[[name]].to_numpy() for name in names if name in rows.columns}
    if case == "vectors in another order":
        feed = {name: values.ravel() for name, values in feed.items()}

    converted = convert(model, tmp_path, signature=rows, data=csv_data(rows, target))

    in_order = rows[[column.name for column in converted.manifest.columns]]
    labels, scores = converted.predict(cells_of(in_order))
    own_labels, own_scores = own_predictions(model, feed or {"X": rows.to_numpy()})
    if scores is None:
        assert np.allclose(labels, own_labels, rtol=1e-6)
    else:
        assert labels == own_labels
        assert np.allclose(scores, own_scores, atol=1e-6)


def test_probabilities_without_label_get_one(tmp_path: Path) -> None:
    model = weighted(helper.make_node("Softmax", ["product"], ["scores"], axis=1))

    converted = convert(model, tmp_path)

    labels, scores = converted.predict(cells_of(IRIS))
    assert converted.manifest.classes == (0, 1, 2)
    assert labels == scores.argmax(axis=1).tolist()
    assert [column.name for column in converted.manifest.columns] == [f"feature_{index}" for index in range(4)]


def test_unknown_text_is_rejected_where_the_graph_fails_on_it(tmp_path: Path) -> None:
    made, rows, target = SERVED["one input per column that takes known texts only"]

    island = convert(made(), tmp_path, data=csv_data(rows, target)).manifest.columns[0]

    assert (island.categories, island.on_unknown) == (("Biscoe", "Dream", "Torgersen"), "reject")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "scores that are no probabilities": (
        lambda: weighted(helper.make_node("Identity", ["product"], ["scores"])),
        "returns 3 numbers per row that are not probabilities",
    ),
    "an unsupported type": (
        lambda: graph(
            [helper.make_node("Identity", ["X"], ["Y"])],
            tensors(TensorProto.FLOAT16, [None, 1], "X"),
            tensors(TensorProto.FLOAT16, [None, 1], "Y"),
        ),
        r"the input 'X' of .* is a tensor\(float16\) of 2 dimensions",
    ),
    "an unknown width": (
        lambda: graph(
            [helper.make_node("Identity", ["X"], ["Y"])],
            tensors(TensorProto.FLOAT, ["N", "M"], "X"),
            tensors(TensorProto.FLOAT, ["N", "M"], "Y"),
        ),
        "has no fixed number of columns; pass rows of the model with --data",
    ),
    "several outputs": (
        lambda: exported(LogisticRegression(), IRIS, SPECIES, zipmap="columns"),
        r"returns output_label \(tensor\(int64\)\), i0 .*; export it with",
    ),
    "an unknown operator": (
        lambda: weighted(helper.make_node("Tulip", ["product"], ["scores"], domain="garden")),
        "the graph has the custom operator 'garden.Tulip', whose library the API does not load",
    ),
    "random results": (
        lambda: weighted(helper.make_node("RandomNormalLike", ["product"], ["scores"])),
        "the operator RandomNormalLike, which gives random results",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rejected_graph_is_explained(case: str, tmp_path: Path) -> None:
    made, reason = REFUSED[case]

    with pytest.raises(SlipwayError, match=reason):
        convert(made(), tmp_path)


def test_missing_text_of_a_graph_is_rejected(tmp_path: Path) -> None:
    rows = BIRDS[["island", "bill_length_mm"]].copy()
    rows.loc[3, "island"] = None

    with pytest.raises(SlipwayError, match="'island' is empty in line 5, and the model takes no missing value there"):
        convert(by_column(), tmp_path, data=csv_data(rows, BIRDS["species"]))

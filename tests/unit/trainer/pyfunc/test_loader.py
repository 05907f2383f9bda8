"""The model that MLflow's pyfunc loads from a bundle: what DataFrames it takes, what it returns, and its errors."""

import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from slipway_core.bundle import MANIFEST_FILE
from slipway_core.manifest import MODEL_FILE, Manifest
from slipway_trainer.pyfunc import flavor, loader
from support.bundles import CLASSES, FEATURES, bundle_files
from support.typed_models import KINDS, TABLE_NAMES, TABLE_ROWS, table_files
from support.typed_requests import csv_text

# MLflow warns of its own types when it first imports its model flavors.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

FRAME = pd.DataFrame([list(row) for row in TABLE_ROWS], columns=list(TABLE_NAMES))


def saved(files: dict[str, bytes], folder: Path) -> Path:
    """Write a bundle as an MLflow model."""
    bundle = folder / "bundle"
    bundle.mkdir()
    for name, content in files.items():
        (bundle / name).write_bytes(content)
    manifest = Manifest.model_validate_json(files[MANIFEST_FILE])
    flavor.save_model(str(folder / "model"), Model(), bundle=bundle, manifest=manifest)
    return folder / "model"


def loaded(kind: str, folder: Path) -> loader.PyfuncModel:
    return loader._load_pyfunc(str(saved(table_files("m", KINDS[kind]), folder)))


def with_timestamps(frame: pd.DataFrame) -> pd.DataFrame:
    rows = frame.iloc[[0, 2]].copy()
    return rows.assign(day=pd.to_datetime(rows["day"]), seen=pd.to_datetime(rows["seen"], format="ISO8601"))


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.astype({"color": "category", "city": "category"}),
        lambda frame: frame.astype({"price": "float32", "count": "int8", "size": "float32"}, errors="ignore"),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.astype(object).where(frame.notna(), None),
        lambda frame: frame.iloc[::-1],
        with_timestamps,
    ],
    ids=["categorical", "narrow", "nullable types", "objects", "another order", "timestamps"],
)
def test_every_type_of_pandas_is_accepted(tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    model = loaded("texts", tmp_path)
    frame = FRAME.assign(count=[3, 0, 100, 42], price=[1.5, 0.0, 2.0, 0.25], size=[2.0, 37.5, 2.0, 37.5])
    changed = change(frame)

    found: Any = model.predict(changed, {"output": "probabilities"})

    expected: Any = model.predict(frame, {"output": "probabilities"})
    pd.testing.assert_frame_equal(found, expected.loc[changed.index])


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("texts", ["cheap", "fair", "dear", "cheap"]),
        ("integers", [10, 20, -30, 10]),
        ("booleans", [False, False, True, True]),
    ],
)
def test_labels_have_their_own_type(tmp_path: Path, kind: str, labels: list[Any]) -> None:
    found = loaded(kind, tmp_path).predict(FRAME).tolist()

    assert found == labels
    assert list(map(type, found)) == list(map(type, labels))


def test_probabilities_keep_the_index_and_name_the_classes(tmp_path: Path) -> None:
    model = loader._load_pyfunc(str(saved(bundle_files("iris"), tmp_path)))
    frame = pd.DataFrame([[5, 3, 1, 0], [6, 3, 5, 2]], columns=list(FEATURES), index=["a", "b"])

    found: Any = model.predict(frame, {"output": "probabilities"})

    assert (list(found.columns), list(found.index)) == (list(CLASSES), ["a", "b"])
    assert np.allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"color": None}, "row 0: 'color' is null, but the model needs a value here"),
        ({"count": 1.5}, "row 0: 'count' must be an integer, not a number (1.5)"),
        ({"price": np.nan}, "row 0: 'price' must be a finite number"),
        ({"member": "yes"}, "row 0: 'member' must be true or false, not a string ('yes')"),
        ({"day": "21.11.2026"}, "row 0: 'day' must be a date such as 2026-11-21"),
        ({"size": 3.0}, "row 0: 'size' must be one of 0.1, 2, 37.5, not 3"),
    ],
)
def test_invalid_value_is_reported_as_by_the_api(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(MlflowException) as caught:
        loaded("values", tmp_path).predict(FRAME.head(1).assign(**change))

    assert message in caught.value.message


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"output": "probabilities"}, "the model predicts numbers, not classes"),
        ({"output": "shares"}, "must be `prediction` or `probabilities`, not 'shares'"),
        ({"format": "x"}, "unknown parameter 'format'"),
    ],
)
def test_invalid_params_are_rejected(tmp_path: Path, params: dict[str, str], message: str) -> None:
    with pytest.raises(MlflowException, match=message):
        loaded("values", tmp_path).predict(FRAME, params)


def test_empty_frame_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(MlflowException, match="send at least one row"):
        loaded("texts", tmp_path).predict(FRAME.head(0))


def test_replaced_graph_is_rejected(tmp_path: Path) -> None:
    model = saved(table_files("m", KINDS["texts"]), tmp_path)
    (model / MODEL_FILE).write_bytes(b"another graph")

    with pytest.raises(MlflowException, match=r"model\.onnx is not the graph that manifest\.json describes"):
        loader._load_pyfunc(str(model))


def test_server_of_mlflow_reads_csv_as_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = importlib.import_module(loader.SERVER)
    monkeypatch.setattr(server, "parse_csv_input", server.parse_csv_input)  # restored after the test
    monkeypatch.setitem(sys.modules, loader.SERVER_APP, server)
    model = loaded("texts", tmp_path)
    text = csv_text([[*TABLE_ROWS[0][:1], "NA", *TABLE_ROWS[0][2:]]], TABLE_NAMES)

    frame = server.parse_csv_input(io.StringIO(text))

    assert frame["city"].tolist() == ["NA"]
    assert frame["member"].tolist() == [True]
    assert model.predict(frame).tolist() == ["cheap"]
    with pytest.raises(MlflowException, match="'color' is null"):
        model.predict(server.parse_csv_input(io.StringIO(text.replace("red", ""))))
    with pytest.raises(MlflowException, match="the body is not CSV"):
        server.parse_csv_input(io.StringIO(""))


def test_mlflow_itself_is_unchanged_outside_its_server(tmp_path: Path) -> None:
    loaded("texts", tmp_path)

    server = sys.modules.get(loader.SERVER)
    assert server is None or server.parse_csv_input.__module__ == loader.SERVER

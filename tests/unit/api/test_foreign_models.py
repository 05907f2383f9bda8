"""Versions that somebody else registered: served by MLflow's signature, only if allowed, and told as unverified."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.typing import EventDict

from slipway_api.account import Role
from slipway_api.serving.foreign import MLMODEL_MAX_BYTES, derive_manifest
from slipway_api.serving.slot import PINNED_LOOK_SECONDS
from slipway_core.bundle import MLMODEL_FILE, MODEL_FILE
from slipway_core.errors import BundleError
from slipway_core.registry import PRODUCTION, ModelVersion
from slipway_core.registry.memory import InMemoryRegistry
from support.api import StartApi
from support.bundles import bundle_files, linear_classifier, register, regressor
from support.serving import Serving

COLUMNS = [{"type": "double", "name": name, "required": True} for name in ("a b", "c", "d", "e")]
TENSOR = [{"name": "X", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]
VERSION = ModelVersion("iris", "1", created_at=1_000_000.0)


def mlmodel(inputs: object = COLUMNS, **changes: Any) -> bytes:
    """Return an MLmodel file as MLflow writes one: a signature is JSON inside the YAML."""
    content = {
        "flavors": {"onnx": {"data": "model.onnx", "onnx_version": "1.23.2"}, "python_function": {}},
        "mlflow_version": "3.17.2",
        "signature": {"inputs": json.dumps(inputs), "outputs": None, "params": None},
        **changes,
    }
    return yaml.safe_dump(content).encode()


def foreign(registry: InMemoryRegistry, description: bytes | None = None, model: bytes | None = None) -> None:
    """Register and promote a version of iris without any tag."""
    files = {MLMODEL_FILE: description or mlmodel(), MODEL_FILE: model or linear_classifier()}
    version = registry.add_version("iris", files, run_id="0" * 32).version
    registry.set_alias("iris", PRODUCTION, version)


@pytest.fixture
def open_minded(tmp_path: Path) -> Serving:
    """A process that serves what others registered, too; pinned is version 1."""
    serving = Serving(tmp_path / "cache")
    serving.allow_unverified = True
    serving.start(models=("iris", "iris@1"))
    return serving


def test_columns_become_features_by_their_names() -> None:
    manifest = derive_manifest(VERSION, mlmodel(), linear_classifier())

    assert [column.name for column in manifest.inputs] == ["a b", "c", "d", "e"]
    assert (manifest.name, manifest.task, manifest.classes) == ("iris", "classification", ("0", "1", "2"))
    assert (manifest.graph.input, manifest.graph.label, manifest.graph.scores) == ("X", "label", "probabilities")


def test_a_tensor_becomes_features_by_their_order() -> None:
    manifest = derive_manifest(VERSION, mlmodel(TENSOR), regressor())

    assert [column.name for column in manifest.inputs] == ["feature_0", "feature_1", "feature_2", "feature_3"]
    assert (manifest.task, manifest.classes, manifest.graph.label) == ("regression", None, "value")


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (b"\xff", "MLmodel file is not understood"),
        (b"[1, 2", "MLmodel file is not understood"),
        (b"- a list", "MLmodel file is not understood"),
        (b"flavors: 1", "MLmodel file is not understood"),
        (b"[" * 100_000, "MLmodel file is not understood"),
        (b"x" * (MLMODEL_MAX_BYTES + 1), "too large"),
        (mlmodel(flavors={"sklearn": {}}), "no ONNX flavor"),
        (mlmodel(flavors={"onnx": {"data": "other.onnx"}}), "lies in another file"),
        (mlmodel(signature=None), "no MLflow signature"),
        (mlmodel(signature={"inputs": None}), "signature is not understood"),
        (mlmodel(signature={"inputs": "[1]"}), "signature is not understood"),
        (mlmodel([]), "not of float features"),
        (mlmodel([{"type": "string", "name": "a"}]), "not of float features"),
        (mlmodel([COLUMNS[0], COLUMNS[0], COLUMNS[2], COLUMNS[3]]), "two inputs have the same name"),
        (mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 4]}}]), "not of float features"),
        (mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, -1]}}]), "not of float"),
        (mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2, 2]}}]), "is not understood"),
        (mlmodel(COLUMNS[:2]), "the graph fails on rows"),
    ],
)
def test_what_tells_of_no_float_features_is_refused(description: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        derive_manifest(VERSION, description, linear_classifier())


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(BundleError, match="not a valid ONNX model"):
        derive_manifest(VERSION, mlmodel(), b"no graph")


def test_a_version_of_others_is_not_served_unless_that_is_allowed(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache")
    foreign(serving.registry)

    serving.sync()

    failure = serving.store.failure("iris")
    assert failure is not None
    assert "SLIPWAY_ALLOW_UNVERIFIED_MODELS=true" in failure.reason


def test_a_version_of_others_is_served_if_that_is_allowed_and_told(open_minded: Serving, logs: list[EventDict]) -> None:
    foreign(open_minded.registry)

    open_minded.sync()

    assert (open_minded.served(), open_minded.pinned()) == ({"iris": "1"}, ["iris@1"])
    assert open_minded.store.get("iris").verified is False
    assert open_minded.sample("slipway_model_not_cached", model="iris") == 1
    assert [entry["version"] for entry in logs if entry["event"] == "unverified_model_loaded"] == ["1", "1"]


def test_a_version_of_others_that_stands_still_is_not_fetched_again(open_minded: Serving) -> None:
    foreign(open_minded.registry)
    open_minded.sync()
    fetched = len(open_minded.registry.fetched)
    open_minded.clock.now += PINNED_LOOK_SECONDS

    open_minded.sync()

    assert len(open_minded.registry.fetched) == fetched


def test_a_version_of_the_trainer_is_verified_all_the_same(open_minded: Serving) -> None:
    register(open_minded.registry, bundle_files(), promote=True)
    open_minded.registry.replace_file("iris", "1", MODEL_FILE, b"damaged")

    open_minded.sync()

    assert open_minded.served() == {}


def test_a_version_of_others_predicts_and_says_that_it_is_unverified(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    foreign(registry)
    api = start_api(registry, allow_unverified_models=True)

    row = {"a b": 5.1, "c": 3.5, "d": 1.4, "e": 0.2}
    body = api.post("/predict", role=Role.USER, json={"features": row}).json()
    info = api.get("/model-info", role=Role.VIEWER).json()

    assert (body["prediction"], body["label"], len(body["probabilities"][0])) == ([0], ["0"], 3)
    assert (info["verified"], info["metrics"], info["model_version"]) == (False, {}, "1")

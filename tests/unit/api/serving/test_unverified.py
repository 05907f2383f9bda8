"""Versions that somebody else registered: served by MLflow's signature, only if allowed, and told as unverified."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from skl2onnx import to_onnx
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_api.serving.slot import PINNED_LOOK_SECONDS
from slipway_api.serving.unverified import MLMODEL_MAX_BYTES, derive_manifest
from slipway_core.bundle import MLMODEL_FILE, MODEL_FILE
from slipway_core.errors import BundleError
from slipway_core.graph import Graph
from slipway_core.registry import PRODUCTION, ModelVersion
from slipway_core.registry.memory import InMemoryRegistry
from support.api import StartApi
from support.bundles import bundle_files, linear_classifier, register, regressor
from support.serving import Serving

COLUMNS = [{"type": "double", "name": name, "required": True} for name in ("a b", "c", "d", "e")]
TENSOR = [{"name": "X", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]


def tensor_of(width: int) -> list[dict[str, Any]]:
    return [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, width]}}]


# Each line doubles the work of a parser that expands merged keys.
MERGES = b"".join(b"a%d: &a%d {<<: [*a%d, *a%d]}\n" % (i, i, i - 1, i - 1) for i in range(1, 40)) + b"flavors: {}\n"
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
        (b"\xff", "MLmodel file cannot be parsed"),
        (b"[1, 2", "MLmodel file cannot be parsed"),
        (b"- a list", "MLmodel file cannot be parsed"),
        (b"a0: &a0 {k: v}\n" + MERGES, "has no flavor|not understood"),
        (b"flavors: " + b"9" * 5_000, "MLmodel file cannot be parsed"),
        (mlmodel(signature={"inputs": "[" * 50_000}), "signature cannot be parsed"),
        (b"flavors: 1", "MLmodel file cannot be parsed"),
        (b"[" * 5_000, "MLmodel file cannot be parsed"),
        (b"x" * (MLMODEL_MAX_BYTES + 1), "too large"),
        (mlmodel(flavors={"sklearn": {}}), "logged with mlflow.sklearn, but the API serves ONNX"),
        (mlmodel(flavors={"onnx": {"data": "other.onnx"}}), "is not in the file model.onnx"),
        (mlmodel(flavors={"python_function": {}, "xgboost": {}}), "logged with mlflow.xgboost"),
        (mlmodel(flavors={}), "has no flavor"),
        (
            mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 20_000_000]}}]),
            "at most 10000",
        ),
        (mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 10**30]}}]), "at most 10000"),
        pytest.param(mlmodel([{"type": "float", "name": ""}] * 20_000), "20000 features", marks=pytest.mark.slow),
        (mlmodel(signature=None), "no MLflow signature"),
        (mlmodel(signature={"inputs": None}), "signature cannot be parsed"),
        (mlmodel(signature={"inputs": "[1]"}), "signature cannot be parsed"),
        (mlmodel([]), "must have float features only"),
        (mlmodel([{"type": "string", "name": "a"}]), "must have float features only"),
        (mlmodel([COLUMNS[0], COLUMNS[0], COLUMNS[2], COLUMNS[3]]), "two inputs have the same name"),
        (
            mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 4]}}]),
            "must have float features only",
        ),
        (
            mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, -1]}}]),
            "must have float features",
        ),
        (mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2, 2]}}]), "cannot be parsed"),
        (mlmodel(COLUMNS[:2]), "the graph fails on rows"),
    ],
)
def test_what_tells_of_no_float_features_is_refused(description: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        derive_manifest(VERSION, description, linear_classifier())


@pytest.mark.parametrize(
    ("estimator", "labels"),
    [
        (LogisticRegression(max_iter=500), (0, 1, 2)),
        (LogisticRegression(max_iter=500), (-1, 1)),
        (make_pipeline(StandardScaler(), LogisticRegression()), (30, 10, 20)),
        (RandomForestClassifier(5, random_state=0), (1, 2, 3)),
        (RandomForestClassifier(5, random_state=0), (2**20, 7)),
        (GradientBoostingClassifier(n_estimators=3), (1, 2, 3)),
        (DecisionTreeClassifier(), (5, 4, 3)),
        (GaussianNB(), (0, 1, 2)),
        (GaussianNB(), (30, 10, 20)),
        (KNeighborsClassifier(), (-1, 1)),
        (SVC(probability=True, random_state=0), (1, 2, 3)),
        (MLPClassifier((4,), max_iter=50), (1, 2, 3)),
        (MLPClassifier((4,), max_iter=50), (-1, 1)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "-".join(map(str, value)),
)
@pytest.mark.filterwarnings("ignore")
def test_labels_and_probabilities_of_foreign_classifiers_agree(estimator: Any, labels: tuple[int, ...]) -> None:
    """Each probability belongs to the class that the estimator gives it to."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(90, 4)).astype(np.float32)
    target = np.array(labels)[np.digitize(rows[:, 0], (-0.3, 0.3)[: len(labels) - 1])]
    fitted = clone(estimator).fit(rows, target)
    model = to_onnx(fitted, rows[:1], options={"zipmap": False}).SerializeToString()
    manifest = derive_manifest(VERSION, mlmodel(TENSOR), model)
    outputs = Graph(model, manifest.graph).run(rows)

    assert manifest.classes is not None
    assert [manifest.classes[index] for index in outputs.prediction] == [str(label) for label in fitted.predict(rows)]
    assert manifest.classes == tuple(str(label) for label in fitted.classes_)
    assert outputs.scores is not None
    assert np.allclose(outputs.scores, fitted.predict_proba(rows), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "labels", "words"),
    [
        ({}, (1, 2), "ZipMap"),
        ({}, ("yes", "no"), "ZipMap"),
        ({"zipmap": False}, ("yes", "no"), "labels as text"),
        ({"zipmap": "columns"}, (1, 2), "outputs are tensor"),
    ],
)
def test_other_outputs_are_rejected_with_the_option_to_change(
    options: dict[str, object], labels: tuple[object, ...], words: str
) -> None:
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    fitted = DecisionTreeClassifier().fit(rows, np.array(labels)[[0, 1] * 5])
    model = to_onnx(fitted, rows[:1], options=options).SerializeToString()

    with pytest.raises(BundleError, match=words):
        derive_manifest(VERSION, mlmodel(TENSOR), model)


def test_a_foreign_model_with_labels_from_1_answers_the_index_and_the_label(start_api: StartApi) -> None:
    rows = np.array([[-1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=np.float32)
    fitted = DecisionTreeClassifier().fit(rows, [1, 2, 3])
    registry = InMemoryRegistry()
    foreign(registry, mlmodel(TENSOR), to_onnx(fitted, rows[:1], options={"zipmap": False}).SerializeToString())
    api = start_api(registry, allow_unverified_models=True)

    body = api.post("/predict", role=Role.USER, json={"features": rows.tolist()}).json()

    assert (body["prediction"], body["label"]) == ([0, 1, 2], ["1", "2", "3"])
    assert body["probabilities"] == np.eye(3).tolist()


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


@pytest.mark.parametrize("flavor", ["sklearn", "xgboost", "lightgbm"])
def test_the_flavor_of_a_foreign_model_is_the_reason(tmp_path: Path, flavor: str) -> None:
    serving = Serving(tmp_path / "cache")
    foreign(serving.registry, mlmodel(flavors={flavor: {}, "python_function": {}}))

    serving.sync()

    failure = serving.store.failure("iris")
    assert failure is not None
    assert f"was logged with mlflow.{flavor}, but the API serves ONNX models" in failure.reason
    assert "SLIPWAY_ALLOW_UNVERIFIED_MODELS" not in failure.reason


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

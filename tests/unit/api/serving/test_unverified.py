"""Versions without a bundle of the trainer: served by MLflow's signature, only if allowed, and marked as unverified."""

import json
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_api.serving.mlmodel import MLMODEL_MAX_BYTES, read_mlmodel
from slipway_api.serving.slot import LONGEST_RETRY_SECONDS, PINNED_LOOK_SECONDS
from slipway_api.serving.unverified import read_foreign
from slipway_core.bundle import MLMODEL_FILE
from slipway_core.errors import BundleError
from slipway_core.graph import Graph
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION, ModelVersion
from slipway_core.registry.memory import InMemoryRegistry
from slipway_trainer.export import export
from slipway_trainer.recipes import Column
from support.api import StartApi
from support.bundles import bundle_files, linear_classifier, register, regressor
from support.serving import Serving

COLUMNS = [{"type": "double", "name": name, "required": True} for name in ("a b", "c", "d", "e")]
TENSOR = [{"name": "X", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]


def shaped(*shape: object) -> list[dict[str, Any]]:
    return [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": shape}}]


NO_COLUMNS: list[object] = [None, True, 1, 1.5, "a", {"a": 1}, [[]]]

# Each line doubles the work of a parser that expands merged keys.
MERGES = b"".join(b"a%d: &a%d {<<: [*a%d, *a%d]}\n" % (i, i, i - 1, i - 1) for i in range(1, 40)) + b"flavors: {}\n"
VERSION = ModelVersion("iris", "1", created_at=1_000_000.0)


def mlmodel(inputs: object = COLUMNS, **changes: Any) -> bytes:
    """Return an MLmodel file as MLflow writes one: the signature is JSON inside the YAML."""
    content = {
        "flavors": {"onnx": {"data": "model.onnx", "onnx_version": "1.23.2"}, "python_function": {}},
        "mlflow_version": "3.17.2",
        "signature": {"inputs": json.dumps(inputs), "outputs": None, "params": None},
        **changes,
    }
    return yaml.safe_dump(content).encode()


def foreign(registry: InMemoryRegistry, description: bytes | None = None, model: bytes | None = None) -> None:
    """Register and promote a version of iris without tags."""
    files = {MLMODEL_FILE: description or mlmodel(), MODEL_FILE: model or linear_classifier()}
    version = registry.add_version("iris", files, run_id="0" * 32).version
    registry.set_alias("iris", PRODUCTION, version)


@pytest.fixture
def open_minded(tmp_path: Path) -> Serving:
    """Create a process that also serves foreign versions; version 1 is pinned."""
    serving = Serving(tmp_path / "cache")
    serving.allow_unverified = True
    serving.start(models=("iris", "iris@1"))
    return serving


def test_columns_become_features_by_name() -> None:
    manifest = read_foreign(VERSION, mlmodel(), linear_classifier()).manifest

    assert [column.name for column in manifest.columns] == ["a b", "c", "d", "e"]
    assert (manifest.name, manifest.task, manifest.classes) == ("iris", "classification", (0, 1, 2))
    assert (manifest.inputs[0].name, manifest.graph.label, manifest.graph.scores) == ("X", "label", "probabilities")


def test_tensor_becomes_features_by_position() -> None:
    manifest = read_foreign(VERSION, mlmodel(TENSOR), regressor()).manifest

    assert [column.name for column in manifest.columns] == ["feature_0", "feature_1", "feature_2", "feature_3"]
    assert (manifest.task, manifest.classes, manifest.graph.label) == ("regression", None, "value")


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (b"\xff", "MLmodel file cannot be parsed"),
        (b"[1, 2", "MLmodel file cannot be parsed"),
        (b"- a list", "MLmodel file cannot be parsed"),
        (b"a0: &a0 {k: v}\n" + MERGES, "has no flavor|cannot be parsed"),
        (b"flavors: " + b"9" * 5_000, "MLmodel file cannot be parsed"),
        (mlmodel(signature={"inputs": "[" * 50_000}), "signature cannot be parsed"),
        (b"flavors: 1", "MLmodel file cannot be parsed"),
        (b"[" * 5_000, "MLmodel file cannot be parsed"),
        (b"x" * (MLMODEL_MAX_BYTES + 1), "too large"),
        (mlmodel(flavors={"sklearn": {}}), "logged with mlflow.sklearn, but the API serves ONNX"),
        (mlmodel(flavors={"onnx": {"data": "other.onnx"}}), "is not in the file model.onnx"),
        (mlmodel(flavors={"python_function": {}, "xgboost": {}}), "logged with mlflow.xgboost"),
        (mlmodel(flavors={}), "has no flavor"),
        (mlmodel(shaped(-1, 20_000_000)), "more than 10000 features"),
        (mlmodel(shaped(-1, 10**30)), "more than 10000 features"),
        pytest.param(mlmodel([{"type": "float", "name": ""}] * 20_000), "more than 10000", marks=pytest.mark.slow),
        (mlmodel(signature="text"), "signature cannot be parsed"),
        (mlmodel(signature={"inputs": "{}"}), "signature cannot be parsed"),
        (mlmodel(signature={"inputs": "[1]"}), "signature cannot be parsed"),
        (mlmodel([]), "signature cannot be parsed"),
        (mlmodel([{"type": "string", "name": name} for name in "abcd"]), "of the kind string, but the graph's input"),
        (mlmodel([COLUMNS[0], COLUMNS[0], COLUMNS[2], COLUMNS[3]]), "two columns .* have the same name, 'a b'"),
        (
            mlmodel([{"type": "tensor", "tensor-spec": {"dtype": "complex64", "shape": [-1, 4]}}]),
            "the tensor of its MLflow signature has the type 'complex64'",
        ),
        (mlmodel([{"type": "datetime", "name": "a"}]), "column 1 of its MLflow signature has the type 'datetime'"),
        (mlmodel([*COLUMNS, *TENSOR]), "signature cannot be parsed"),
        *(
            (mlmodel(shaped(*shape)), "another shape than")
            for shape in [
                *((), (-1,), (-1, 2, 2), (4, -1), (None, 4), (4, 4), (-2, 4), (0, 4), (-1.0, 4), (True, 4), ("-1", 4)),
                *((-1, wrong) for wrong in (-1, -2, 0, True, False, 4.0, 4.5, "4", None, [4], {"dim": 4})),
            ]
        ),
        *(
            (mlmodel([{"type": "double", "name": name}, *COLUMNS[1:]]), "column 1 of its MLflow signature has an unus")
            for name in ("", "  ", "x" * 257, 1, True, 1.5, ["a"], {"a": 1}, "\ud800", "a\x00b", "\x1b[31mred")
        ),
        (mlmodel([{"type": "double"}, {"type": "double", "name": "feature_0"}]), "the same name, 'feature_0'"),
        *(
            (mlmodel([{"type": kind, "name": "a"}]), "signature cannot be parsed")
            for kind in (None, True, 1, ["double"], {"a": 1})
        ),
        *((mlmodel(columns), "signature cannot be parsed") for columns in NO_COLUMNS if columns is not None),
        (mlmodel(flavors={"onnx": None}), "MLmodel file cannot be parsed"),
        (mlmodel(flavors={"onnx": {"data": [MODEL_FILE]}}), "is not in the file model.onnx"),
        (mlmodel(COLUMNS[:2]), "has 2 columns for the graph's input 'X', which takes 4"),
    ],
)
def test_signature_that_does_not_fit_is_rejected(description: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        read_foreign(VERSION, description, linear_classifier())


# Where a signature or a flavor is read, each by its path in the file; `inputs` is JSON inside the YAML.
FIELDS = {
    ("flavors",): (),
    ("flavors", "onnx"): ({}, {"a": {"b": [1]}}),
    ("flavors", "onnx", "data"): (),
    ("signature",): (None, "", {}, {"a": {"b": [1]}}),
    ("signature", "inputs"): (None, ""),
    ("inputs", 0): (),
    ("inputs", 0, "type"): (),
    ("inputs", 0, "name"): (None, "text"),
    ("tensors", 0): (),
    ("tensors", 0, "type"): (),
    ("tensors", 0, "tensor-spec"): (),
    ("tensors", 0, "tensor-spec", "dtype"): (),
    ("tensors", 0, "tensor-spec", "shape"): (),
    ("tensors", 0, "tensor-spec", "shape", 0): (-1,),
    ("tensors", 0, "tensor-spec", "shape", 1): (1, 2**13),
}
WRONG = [
    *(None, True, False, 0, 1, -1, -2, 2**13, 2**63, 10**4000, 1.0, -1.0, 1.5, float("nan"), float("inf")),
    *("", " ", "text", "\ud800", "\x00", "x" * 257, "x" * 900_000, "x" * 10_000_000),
    *([], {}, [[[1]]], {"a": {"b": [1]}}, [1] * 20_000, {str(key): key for key in range(20_000)}),
]
DEEP = "deep"  # replaced in the text: no encoder goes as deep


def described(path: tuple[str | int, ...], value: object) -> bytes:
    """Return an MLmodel file with a value in the place of one of its fields."""
    columns = json.loads(json.dumps(TENSOR if path[0] == "tensors" else COLUMNS))
    content: Any = {"flavors": {"onnx": {"data": "model.onnx"}}, "signature": {"inputs": columns}}
    is_column = isinstance(path[-1], int) or path[0] in {"inputs", "tensors"}
    place = columns if is_column else content
    *parents, last = path[1:] if is_column else path
    for parent in parents:
        place = place[parent]
    place[last] = value
    signature = content.get("signature")
    if isinstance(signature, dict) and isinstance(signature.get("inputs"), list) and path != ("signature", "inputs"):
        signature["inputs"] = json.dumps(signature["inputs"]).replace(f'"{DEEP}"', "[" * 9_000 + "]" * 9_000)
    return json.dumps(content).replace(f'"{DEEP}"', "[" * 9_000 + "]" * 9_000).encode()


@pytest.mark.slow
@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_wrong_type_in_a_field_of_mlmodel_is_rejected(path: tuple[str | int, ...]) -> None:
    read_mlmodel(VERSION, described((*path[:-1], "of no meaning") if isinstance(path[-1], str) else ("tags",), 1))
    for value in [*WRONG, DEEP]:
        accepts = any(type(value) is type(right) and value == right for right in FIELDS[path])
        if accepts:
            read_mlmodel(VERSION, described(path, value))
            continue
        with pytest.raises(BundleError) as raised:
            read_mlmodel(VERSION, described(path, value))
        assert len(str(raised.value)) < 400, (path, str(value)[:20])


@pytest.mark.slow
@pytest.mark.parametrize("part", ["[]", "{}", "1", '{"type": "double"}', '{"a": [1]}'])
def test_large_signature_uses_little_memory(part: str) -> None:
    columns = ",".join([part] * (500_000 // (len(part) + 1)))
    content = mlmodel(signature={"inputs": f"[{columns}]"})
    assert len(content) < MLMODEL_MAX_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(BundleError):
            read_mlmodel(VERSION, content)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["tensor", "double", "float32", ""])
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "tensor-spec", "shape", "dtype", "onnx", "data"]), inner)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(sorted(FIELDS, key=str)), value=ANY_JSON)
def test_any_value_in_mlmodel_is_read_or_rejected(path: tuple[str | int, ...], value: object) -> None:
    with suppress(BundleError):
        read_mlmodel(VERSION, described(path, value))


def test_name_of_256_characters_is_accepted() -> None:
    manifest = read_foreign(VERSION, described(("inputs", 0, "name"), "x" * 256), linear_classifier()).manifest

    assert manifest.columns[0].name == "x" * 256


@pytest.mark.parametrize(
    "content",
    [
        b"&a {flavors: {onnx: {}}, signature: *a}",
        b"flavors: &a {onnx: *a}\nsignature: {inputs: *a}",
        b"flavors: &a [*a]",
        b"? [a]\n: 1\nflavors: {onnx: {}}",
        b"flavors: {onnx: {}}\nsignature: {inputs: !!python/object/apply:os.getcwd []}",
        b"flavors: {onnx: {}}\n---\nflavors: {onnx: {}}",
        b"\xef\xbb\xbfflavors: \x00",
        b"",
    ],
)
def test_recursive_or_executable_yaml_is_rejected(content: bytes) -> None:
    with pytest.raises(BundleError):
        read_mlmodel(VERSION, content)


def assert_labels_agree(estimator: Any, labels: tuple[int, ...], *, is_exact: bool = True) -> None:
    """Assert that each probability belongs to the class that the estimator gives it to."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(90, 4)).astype(np.float32)
    target = np.array(labels)[np.digitize(rows[:, 0], (-0.3, 0.3)[: len(labels) - 1])]
    fitted = clone(estimator).fit(rows, target)
    model = export(fitted, [Column(name=name) for name in "abcd"], {"zipmap": False})
    manifest = read_foreign(VERSION, mlmodel(TENSOR), model).manifest
    outputs = Graph(model, manifest.graph).run(rows)
    expected = fitted.predict_proba(rows)

    assert manifest.classes == tuple(int(label) for label in fitted.classes_)
    assert outputs.scores is not None
    if is_exact:
        assert fitted.classes_[outputs.prediction].tolist() == fitted.predict(rows).tolist()
        assert np.allclose(outputs.scores, expected, atol=1e-4)
    else:
        assert outputs.prediction.tolist() == outputs.scores.argmax(axis=1).tolist()
        assert np.mean(outputs.prediction == expected.argmax(axis=1)) > 0.9


LABELS = [(False, True), (-1, 7), (1, 2, 3)]
TREE = DecisionTreeClassifier(max_depth=3)
ESTIMATORS = {
    "logistic": LogisticRegression(max_iter=500),
    "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(5, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=3),
    "tree": TREE,
    "bayes": GaussianNB(),
    "neighbours": KNeighborsClassifier(),
    "svm": SVC(probability=True, random_state=0),
    "network": MLPClassifier((4,), max_iter=50),
    "calibrated": CalibratedClassifierCV(LogisticRegression(), cv=2),
    "one-vs-rest": OneVsRestClassifier(LogisticRegression()),
    "quadratic": QuadraticDiscriminantAnalysis(),
}
MORE_ESTIMATORS = {
    "bernoulli": BernoulliNB(),
    "histogram": HistGradientBoostingClassifier(max_iter=3),
    "sgd": SGDClassifier(loss="log_loss", random_state=0),
    "sgd huber": SGDClassifier(loss="modified_huber", random_state=0),
    "isotonic": CalibratedClassifierCV(GaussianNB(), cv=2, method="isotonic"),
    "voting": VotingClassifier([("a", LogisticRegression()), ("b", TREE)], voting="soft", flatten_transform=False),
    "bagging": BaggingClassifier(TREE, n_estimators=3, random_state=0),
    "adaboost": AdaBoostClassifier(n_estimators=3, random_state=0),
    "extra trees": ExtraTreesClassifier(5, random_state=0),
    "linear": LinearDiscriminantAnalysis(),
    "stacking": StackingClassifier([("a", LogisticRegression()), ("b", TREE)], cv=2),
}


# skl2onnx gives these other probabilities, or another decision, than scikit-learn.
INEXACT = frozenset({"isotonic", "linear", "sgd huber"})


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.filterwarnings("ignore")
def test_labels_and_probabilities_of_foreign_classifiers_agree(kind: str) -> None:
    assert_labels_agree(ESTIMATORS[kind], (30, 10, 20))


@pytest.mark.slow
@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: "-".join(map(str, labels)))
@pytest.mark.parametrize("kind", [*ESTIMATORS, *MORE_ESTIMATORS])
@pytest.mark.filterwarnings("ignore")
def test_labels_of_all_kinds_of_classifiers_agree(
    kind: str, labels: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Others may register graphs that Slipway's trainer would reject, such as those of isotonic calibration.
    monkeypatch.setattr("slipway_trainer.export.check_limits", lambda *_: None)
    if (kind, labels) == ("adaboost", (False, True)):
        pytest.skip("skl2onnx does not convert it")
    estimator = {**ESTIMATORS, **MORE_ESTIMATORS}[kind]
    assert_labels_agree(estimator, labels, is_exact=kind not in INEXACT)


@pytest.mark.filterwarnings("ignore")
def test_svm_may_contradict_its_probabilities() -> None:
    random = np.random.default_rng(6)
    rows = random.normal(size=(40, 4)).astype(np.float32)
    fitted = SVC(probability=True, random_state=0).fit(rows, [1, 2] * 20)
    model = to_onnx(fitted, rows[:1], options={"zipmap": False}).SerializeToString()
    outputs = Graph(model, read_foreign(VERSION, mlmodel(TENSOR), model).manifest.graph).run(rows)

    assert outputs.scores is not None
    assert (outputs.scores.argmax(axis=1) != outputs.prediction).all()
    assert outputs.prediction.tolist() == [label - 1 for label in fitted.predict(rows)]


def computed(*nodes: NodeProto) -> bytes:
    """Return a graph of four features whose label is an ArgMax of the tensor `s`."""
    kinds = {"X": TensorProto.FLOAT, "label": TensorProto.INT64, "scores": TensorProto.FLOAT}
    ports = {name: helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()}
    table = numpy_helper.from_array(np.full((1, 4), [0.1, 0.2, 0.3, 0.4], np.float32), "table")
    axis = numpy_helper.from_array(np.array([1]), "axis")
    argmax = helper.make_node("ArgMax", ["s"], ["label"], axis=1, keepdims=0)
    graph = helper.make_graph([*nodes, argmax], "g", [ports["X"]], [ports["label"], ports["scores"]], [table, axis])
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    )


def test_argmax_that_contradicts_probabilities_is_rejected() -> None:
    """A negative sum, by which the scores are divided, reverses their order."""
    model = computed(
        helper.make_node("Identity", ["X"], ["s"]),
        helper.make_node("ReduceSum", ["s", "axis"], ["sum"]),
        helper.make_node("Div", ["s", "sum"], ["scores"]),
    )

    with pytest.raises(BundleError, match="not the classes of its highest probabilities"):
        read_foreign(VERSION, mlmodel(TENSOR), model)


def test_graph_that_rejects_drawn_rows_is_accepted() -> None:
    """Features that are codes of categories, for example, have few values."""
    model = computed(
        helper.make_node("ReduceMax", ["X"], ["most"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["most"], ["code"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "code"], ["s"]),
        helper.make_node("Identity", ["s"], ["scores"]),
    )

    assert read_foreign(VERSION, mlmodel(TENSOR), model).manifest.classes == (0, 1, 2, 3)


def test_probabilities_of_three_axes_are_rejected() -> None:
    model = computed(
        helper.make_node("Softmax", ["X"], ["s"], axis=1), helper.make_node("Unsqueeze", ["s", "axis"], ["scores"])
    )

    with pytest.raises(BundleError, match="not a matrix of rows and classes"):
        read_foreign(VERSION, mlmodel(TENSOR), model)


def test_probabilities_in_several_outputs_error_names_the_option_to_change() -> None:
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    fitted = DecisionTreeClassifier().fit(rows, [1, 2] * 5)
    model = to_onnx(fitted, rows[:1], options={"zipmap": "columns"}).SerializeToString()

    with pytest.raises(BundleError, match=r"2 outputs of floats beside its labels: .* options=\{\"zipmap\": False\}"):
        read_foreign(VERSION, mlmodel(TENSOR), model)


def test_file_that_is_not_a_graph_is_rejected() -> None:
    with pytest.raises(BundleError, match="not a valid ONNX model"):
        read_foreign(VERSION, mlmodel(), b"no graph")


def test_foreign_version_is_not_served_by_default(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache")
    foreign(serving.registry)

    serving.sync()

    failure = serving.failure()
    assert "SLIPWAY_ALLOW_UNVERIFIED_MODELS=true" in failure.reason
    assert "`slipway register iris --model models:/iris/1`" in failure.reason


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("flavor", ["sklearn", "xgboost", "lightgbm", "pyfunc"])
def test_other_flavor_is_logged_once_with_the_command_that_converts_it(
    tmp_path: Path, logs: list[EventDict], flavor: str, allowed: bool
) -> None:
    serving = Serving(tmp_path / "cache")
    serving.allow_unverified = allowed
    serving.start()
    flavors: dict[str, Any] = {"python_function": {}, **({} if flavor == "pyfunc" else {flavor: {}})}
    foreign(serving.registry, mlmodel(flavors=flavors))

    for _ in range(5):
        serving.sync()
        serving.clock.now += LONGEST_RETRY_SECONDS

    failure = serving.failure()
    command = "slipway register iris --model models:/iris/1 --trust"
    assert failure.attempts > 3
    assert (
        f"was logged with mlflow.{flavor}, but the API serves ONNX models: convert it with `{command}`"
        in failure.reason
    )
    assert "SLIPWAY_ALLOW_UNVERIFIED_MODELS" not in failure.reason
    [entry] = [entry for entry in logs if entry["log_level"] in {"warning", "error"}]
    assert (entry["event"], entry["reason"]) == ("model_load_failed", failure.reason)


def test_answers_name_the_command_that_converts_another_flavor(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    foreign(registry, mlmodel(flavors={"sklearn": {}}))
    api = start_api(registry, ready=False)

    answers = [
        api.post("/predict", role=Role.USER, json={"features": [1, 2, 3, 4]}),
        api.post("/models/iris/predict", role=Role.USER, json={"features": [1, 2, 3, 4]}),
        api.post("/invocations", role=Role.USER, json={"instances": [[1, 2, 3, 4]]}),
        api.get("/models/iris", role=Role.VIEWER),
        api.get("/model-info", role=Role.VIEWER),
    ]

    for answer in answers:
        assert answer.status_code == 503
        assert "`slipway register iris --model models:/iris/1 --trust`" in answer.json()["detail"]


def test_allowed_foreign_version_is_served_and_logged(open_minded: Serving, logs: list[EventDict]) -> None:
    foreign(open_minded.registry)

    open_minded.sync()

    assert (open_minded.served(), open_minded.pinned()) == ({"iris": "1"}, ["iris@1"])
    assert open_minded.store.get("iris").verified is False
    assert open_minded.sample("slipway_model_not_cached", model="iris") == 1
    assert [entry["version"] for entry in logs if entry["event"] == "unverified_model_loaded"] == ["1", "1"]


def test_unchanged_foreign_version_is_not_downloaded_again(open_minded: Serving) -> None:
    foreign(open_minded.registry)
    open_minded.sync()
    fetched = len(open_minded.registry.fetched)
    open_minded.clock.now += PINNED_LOOK_SECONDS

    open_minded.sync()

    assert len(open_minded.registry.fetched) == fetched


def test_trainer_version_is_verified_if_foreign_ones_are_allowed(open_minded: Serving) -> None:
    register(open_minded.registry, bundle_files(), promote=True)
    open_minded.registry.replace_file("iris", "1", MODEL_FILE, b"damaged")

    open_minded.sync()

    assert open_minded.served() == {}


def test_prediction_of_a_foreign_version_is_marked_unverified(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    foreign(registry)
    api = start_api(registry, allow_unverified_models=True)

    row = {"a b": 5.1, "c": 3.5, "d": 1.4, "e": 0.2}
    body = api.post("/predict", role=Role.USER, json={"features": row}).json()
    info = api.get("/model-info", role=Role.VIEWER).json()

    assert (body["prediction"], body["label"], len(body["probabilities"][0])) == ([0], ["0"], 3)
    assert (info["verified"], info["metrics"], info["model_version"]) == (False, {}, "1")

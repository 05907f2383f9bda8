"""Derive a manifest from MLflow's signature and the graph, for versions that Slipway's trainer did not register.

Such a version has no golden rows and no digest, so its behavior cannot be verified. It is served only if the settings
allow it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydantic import ValidationError

from slipway_core.bundle import digest
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, Port, RunOptions, ports
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE, SCHEMA_VERSION, DataLineage, GraphNames, Manifest
from slipway_core.onnx_labels import find_class_labels
from slipway_core.printable import printable
from slipway_core.registry import ModelVersion
from slipway_core.validation import first_problem

MLMODEL_MAX_BYTES = 1_000_000
# MLflow writes a few hundred, five levels deep; the signature is one string.
MLMODEL_MAX_PARTS = 10_000
MLMODEL_MAX_DEPTH = 30
# Each feature takes about a kilobyte of memory, and a signature can declare millions in a few bytes.
MAX_FEATURES = 10_000
MAX_NAME_LENGTH = 256
# Clients send numbers and the graph takes float32, so a signature of float64 columns is accepted, too.
FLOATS = frozenset({"float", "double", "float32", "float64"})
# A bundle's own signature has columns of any type, and its graph says that they are floats.
COLUMN_TYPES = FLOATS | {"any"}
# On these rows, a graph's ArgMax must choose the highest probability if that exceeds all others by this share.
CHECKED_ROWS = 64
CLEAR_MARGIN = 1e-3
EXPECTED_OUTPUTS = "export it with a float output of one column, or with an int64 label and float probabilities"


def derive_manifest(version: ModelVersion, mlmodel: bytes, model: bytes, options: RunOptions | None = None) -> Manifest:
    """Derive the manifest of a version from its MLmodel file and its graph.

    Raises:
        BundleError: it is not an ONNX model of float features, or has no signature.
    """
    names, options = _input_names(mlmodel), options or RunOptions()
    inputs, outputs = ports(model)
    if len(inputs) != 1 or inputs[0].kind != "tensor(float)":
        raise BundleError("the graph's input must be one float32 matrix: export it again")
    kinds = {port.kind: port.name for port in outputs}
    classes = None
    if [port.kind for port in outputs] == ["tensor(float)"]:
        graph, task = GraphNames(label=outputs[0].name), "regression"
        width = outputs[0].shape[1:]
        if width not in {(), (1,)}:
            raise BundleError(f"the graph must return one value per row: {EXPECTED_OUTPUTS}")
    elif len(outputs) == len(kinds) and kinds.keys() == {"tensor(int64)", "tensor(float)"}:
        label, scores = kinds["tensor(int64)"], kinds["tensor(float)"]
        graph, task = GraphNames(label=label, scores=scores), "classification"
        labels = _class_labels(model, graph, len(names), options)
        classes = tuple(map(str, labels))
        if labels != tuple(range(len(labels))):
            graph = graph.model_copy(update={"labels": labels})
    else:
        raise BundleError(_why_outputs(outputs))
    try:
        return Manifest.model_validate(
            {
                "schema_version": SCHEMA_VERSION,
                "name": version.name,
                "task": task,
                "columns": [InputColumn(name=name, dtype="float32") for name in names],
                "inputs": [GraphInput(name=inputs[0].name, dtype="float32", shape=(len(names),))],
                "graph": graph,
                "classes": classes,
                "metrics": {},
                "data": DataLineage(version="", rows=0, split=""),
                "recipe": "",
                "created_at": datetime.fromtimestamp(version.created_at, UTC),
                # The schema requires both; there are no golden rows.
                "digests": {MODEL_FILE: digest(model), GOLDEN_FILE: digest(b"")},
            }
        )
    except ValidationError as error:
        place, message = first_problem(error)
        raise BundleError(f"no manifest can be derived: {message} ({place or 'as a whole'})") from error


def check_description(mlmodel: bytes) -> None:
    """Raise BundleError if an MLmodel file describes a model that cannot be served."""
    _input_names(mlmodel)


def _class_labels(model: bytes, names: GraphNames, n_features: int, options: RunOptions) -> tuple[int, ...]:
    """Return the label that each column of a classifier's probabilities stands for.

    Whether the chosen label has the highest probability is checked only where the graph itself takes an ArgMax. The
    classifiers of `ai.onnx.ml` may choose another one: an SVM's probabilities are fitted apart from its decision, and
    trained on noise it can contradict them on every row; other models have a threshold. The ONNX specification says
    which of their probabilities belongs to which label. A verified bundle needs no such check: its golden rows prove
    that its labels and probabilities are those of the evaluated graph.

    Raises:
        BundleError: the graph does not prove which labels its probabilities belong to, or contradicts itself.
    """
    scores = Graph(model, names).run(np.zeros((1, n_features), dtype=np.float32), options).scores
    if scores is None or names.scores is None or scores.ndim != 2:  # noqa: PLR2004
        raise BundleError(f"the graph's probabilities are not a matrix of rows and classes: {EXPECTED_OUTPUTS}")
    labels = find_class_labels(model, names.label, names.scores, scores.shape[1])
    if labels.by_argmax:
        _check_argmax(Graph(model, names.model_copy(update={"labels": labels.values})), n_features, options)
    return labels.values


def _check_argmax(graph: Graph, n_features: int, options: RunOptions) -> None:
    """Raise BundleError if a graph that takes an ArgMax does not choose its highest probability on drawn rows.

    The structure of a graph does not show the sign of a sum that its scores are divided by: a negative one reverses
    their order.
    """
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(CHECKED_ROWS, n_features)) * 10 ** draw.uniform(-1, 2, size=(CHECKED_ROWS, 1))
    rows[::2] = abs(rows[::2])
    try:
        outputs = graph.run(rows.astype(np.float32), options)
    except BundleError:  # a graph may take no such rows, for example if its features are codes of categories
        if options.terminate:
            raise
        return
    scores, chosen = outputs.scores, outputs.prediction
    if scores is None or scores.ndim != 2 or scores.shape[1] < 2 or chosen.shape != scores.shape[:1]:  # noqa: PLR2004
        return
    usable = np.isfinite(scores).all(axis=1)
    scores, chosen = scores[usable].astype(np.float64), chosen[usable]
    second, highest = np.partition(scores, -2, axis=1)[:, -2:].T
    is_clear = highest - second > CLEAR_MARGIN * np.maximum(abs(highest), abs(second))
    if (is_clear & (scores.argmax(axis=1) != chosen)).any():
        raise BundleError(
            "the graph's labels are not the classes of its highest probabilities, although it takes an ArgMax: export "
            "the ArgMax of its probabilities as the label"
        )


def _why_outputs(outputs: list[Port]) -> str:
    """Explain what is wrong with a graph's outputs, and which export option fixes it."""
    kinds = [port.kind for port in outputs]
    if any(kind.startswith("seq(map(") for kind in kinds):
        return (
            "the graph returns its probabilities as a list of dictionaries (ZipMap): convert the model again with "
            'skl2onnx and options={"zipmap": False}'
        )
    if "tensor(string)" in kinds:
        return (
            "the graph returns its labels as text: train the model on integer classes (0, 1, 2, …) and convert it "
            'again with skl2onnx and options={"zipmap": False}'
        )
    return f"the graph's outputs are {', '.join(kinds)[:200]}: {EXPECTED_OUTPUTS}"


def _input_names(mlmodel: bytes) -> list[str]:
    """Return the feature names from the signature in an MLmodel file."""
    flavor, signature = _read(mlmodel)
    if flavor.get("data", MODEL_FILE) != MODEL_FILE:
        raise BundleError(f"its graph is not in the file {MODEL_FILE}: log it with mlflow.onnx again")
    try:
        columns = json.loads(signature["inputs"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _not_parsed("MLflow signature") from error
    if not isinstance(columns, list) or not all(isinstance(column, dict) for column in columns):
        raise _not_parsed("MLflow signature")
    kinds = [column.get("type") for column in columns]
    if kinds == ["tensor"]:
        return [f"feature_{index}" for index in range(_width(columns[0].get("tensor-spec")))]
    if not kinds or not all(isinstance(kind, str) and kind in COLUMN_TYPES for kind in kinds):
        raise _has_other_types()
    if len(columns) > MAX_FEATURES:
        raise _too_wide()
    return _column_names(columns)


def _width(spec: Any) -> int:  # noqa: ANN401  # any JSON
    """Return how many features a tensor has in a signature."""
    if not isinstance(spec, dict) or not isinstance(spec.get("dtype"), str):
        raise _not_parsed("MLflow signature")
    if spec["dtype"] not in FLOATS:
        raise _has_other_types()
    match spec.get("shape"):
        # `True` is an integer, too, and -1.0 equals -1.
        case [rows, width] if type(rows) is type(width) is int and rows == -1 and width > 0:
            if width > MAX_FEATURES:
                raise _too_wide()
            return width
    raise BundleError(
        "the tensor in its MLflow signature has another shape than [-1, number of features]: log it with a signature "
        "of a two-dimensional array, such as of mlflow.models.infer_signature"
    )


def _column_names(columns: list[dict[str, Any]]) -> list[str]:
    """Return the names of a signature's columns; one without a name is called by its index."""
    names = []
    for index, column in enumerate(columns):
        name = column.get("name")
        if name is None:
            name = f"feature_{index}"
        # Neither a response nor a database can hold half a character or NUL, which JSON can name.
        is_text = isinstance(name, str) and len(name) <= MAX_NAME_LENGTH and printable(name) == name
        if not is_text or not name.strip():
            raise BundleError(
                f"column {index + 1} of its MLflow signature has an unusable name: give it a text of 1 to "
                f"{MAX_NAME_LENGTH} printable characters and log the model again"
            )
        names.append(name)
    twice, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise BundleError(
            f"two columns of its MLflow signature have the same name, {twice!r}: rename one and log the model again"
        )
    return names


def _not_parsed(what: str) -> BundleError:
    return BundleError(f"its {what} cannot be parsed: log it with mlflow.onnx again")


def _has_other_types() -> BundleError:
    return BundleError("its MLflow signature must have float features only")


def _too_wide() -> BundleError:
    return BundleError(f"its MLflow signature has more than {MAX_FEATURES} features: train a model on fewer")


def _read(mlmodel: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the ONNX flavor and the signature of an MLmodel file."""
    # Imported here because it slows down every start and is rarely needed.
    import yaml  # noqa: PLC0415

    if len(mlmodel) > MLMODEL_MAX_BYTES:
        raise BundleError("its MLmodel file is too large: log it with mlflow.onnx again")
    # Only strings, lists and dictionaries: merge keys can grow without bound, and dates or numbers may fail.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        # The composer recurses in C, where a document that is too deep crashes the process.
        depth = 0
        for count, event in enumerate(yaml.parse(mlmodel, Loader=loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if count > MLMODEL_MAX_PARTS or depth > MLMODEL_MAX_DEPTH:
                raise _not_parsed("MLmodel file")
        content = yaml.load(mlmodel, Loader=loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _not_parsed("MLmodel file") from error
    flavors = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavors, dict) or not isinstance(flavors.get("onnx", {}), dict):
        raise _not_parsed("MLmodel file")
    flavor, signature = flavors.get("onnx"), content.get("signature")
    if flavor is None:
        others = sorted(str(name)[:40] for name in flavors if name != "python_function")[:3]
        logged = (
            f"it was logged with {', '.join(f'mlflow.{name}' for name in others)}" if others else "it has no flavor"
        )
        raise BundleError(
            f"{logged}, but the API serves ONNX models: train it with a recipe (`slipway train`), or convert it to "
            "ONNX and log it with mlflow.onnx"
        )
    if not isinstance(signature, dict):
        raise BundleError("it has no MLflow signature: log it with one, for example from mlflow.models.infer_signature")
    return flavor, signature

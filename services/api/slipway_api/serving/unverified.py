"""Derive a manifest from MLflow's signature and the graph, for versions that Slipway's trainer did not register.

Such a version has no golden rows and no digest, so its behavior cannot be verified. It is served only if the settings
allow it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydantic import ValidationError

from slipway_core.bundle import (
    GOLDEN_FILE,
    MODEL_FILE,
    SCHEMA_VERSION,
    DataLineage,
    GraphNames,
    InputColumn,
    Manifest,
    digest,
)
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, Port, ports
from slipway_core.onnx_model import integer_labels
from slipway_core.registry import ModelVersion
from slipway_core.validation import first_problem

MLMODEL_MAX_BYTES = 1_000_000
# MLflow writes a few hundred, five levels deep; the signature is one string.
MLMODEL_MAX_PARTS = 10_000
MLMODEL_MAX_DEPTH = 30
# Each feature takes about a kilobyte of memory, and a signature can declare millions in a few bytes.
MAX_FEATURES = 10_000
# Clients send numbers and the graph takes float32, so a signature of float64 columns is accepted, too.
FLOATS = frozenset({"float", "double", "float32", "float64"})
EXPECTED_OUTPUTS = "export it with a float output of one column, or with an int64 label and float probabilities"


def derive_manifest(version: ModelVersion, mlmodel: bytes, model: bytes) -> Manifest:
    """Derive the manifest of a version from its MLmodel file and its graph.

    Raises:
        BundleError: it is not an ONNX model of float features, or has no signature.
    """
    names = _input_names(mlmodel)
    inputs, outputs = ports(model)
    if len(inputs) != 1 or inputs[0].kind != "tensor(float)":
        raise BundleError("the graph's input must be one float32 matrix: export it again")
    kinds = {port.kind: port.name for port in outputs}
    classes = None
    if [port.kind for port in outputs] == ["tensor(float)"]:
        graph, task = GraphNames(input=inputs[0].name, label=outputs[0].name), "regression"
        width = outputs[0].shape[1:]
        if width not in {(), (1,)}:
            raise BundleError(f"the graph must return one value per row: {EXPECTED_OUTPUTS}")
    elif len(outputs) == len(kinds) and kinds.keys() == {"tensor(int64)", "tensor(float)"}:
        label, scores = kinds["tensor(int64)"], kinds["tensor(float)"]
        graph, task = GraphNames(input=inputs[0].name, label=label, scores=scores), "classification"
        found = Graph(model, graph).run(np.zeros((1, len(names)), dtype=np.float32)).scores
        labels = integer_labels(model, label, found.shape[-1] if found is not None and found.ndim else 0)
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
                "inputs": [InputColumn(name=name, dtype="float32") for name in names],
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
        if [column["type"] for column in columns] == ["tensor"]:
            spec = columns[0]["tensor-spec"]
            rows, width = spec["shape"]
            if isinstance(width, int) and width > MAX_FEATURES:
                raise BundleError(_too_wide(width))
            if rows == -1 and width > 0 and spec["dtype"] in FLOATS:
                return [f"feature_{index}" for index in range(width)]
        elif columns and {column["type"] for column in columns} <= FLOATS:
            if len(columns) > MAX_FEATURES:
                raise BundleError(_too_wide(len(columns)))
            return [column.get("name") or f"feature_{index}" for index, column in enumerate(columns)]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError("its MLflow signature cannot be parsed: log it with mlflow.onnx again") from error
    raise BundleError("its MLflow signature must have float features only")


def _too_wide(width: int) -> str:
    return f"its MLflow signature has {width} features: at most {MAX_FEATURES} can be served"


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
                raise BundleError("its MLmodel file cannot be parsed: log it with mlflow.onnx again")
        content = yaml.load(mlmodel, Loader=loader)  # noqa: S506
        flavor, signature = content["flavors"].get("onnx"), content.get("signature")
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError("its MLmodel file cannot be parsed: log it with mlflow.onnx again") from error
    if not isinstance(flavor, dict):
        others = sorted(str(name)[:40] for name in content["flavors"] if name != "python_function")[:3]
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

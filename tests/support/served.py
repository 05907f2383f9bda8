"""Bundles of trained recipes, served by an app in this process, through every protocol."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from slipway_core.bundle import MANIFEST_FILE, read_bundle
from slipway_core.columns import InputColumn
from slipway_core.graph import Graph, replay
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE, Manifest, label_text
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.table_signature import signature_of
from slipway_trainer.bundling import write_bundle
from slipway_trainer.drawing import draw_features
from slipway_trainer.features import TableFeatures, for_estimator
from slipway_trainer.recipes import Recipe
from support.api import Database, RunningApi, running_api
from support.bundles import register
from support.trained import Trained
from support.typed_requests import (
    DATATYPES,
    INFER,
    NATIVE,
    V1,
    Predicted,
    Rows,
    Sent,
    binary_part,
    csv_text,
    in_binary,
    in_csv,
    in_json,
    predicted,
)

TOLERANCE = 1e-5


def bundle_of(recipe: Recipe, results: Trained, candidate: str, folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Write the bundle of a candidate, read it as the API does, and return its manifest and its files."""
    folder.mkdir()
    written = write_bundle(
        folder,
        recipe=recipe,
        table=results.table,
        split=results.split,
        evaluation=results.evaluations[candidate],
        created_at=datetime(2026, 11, 29, tzinfo=UTC),
        git_commit=None,
        libraries={},
    )
    bundle = read_bundle(folder, written.manifest_sha256)
    manifest = bundle.manifest
    replay(Graph(bundle.model, manifest.graph, manifest.decision), bundle.golden, signature_of(manifest))
    return manifest, {name: (folder / name).read_bytes() for name in (MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE)}


@contextmanager
def serving(
    recipe: Recipe, results: Trained, candidate: str, folder: Path, database: Database
) -> Iterator[tuple[RunningApi, Manifest]]:
    """Serve a candidate by an app, and return it with the manifest of the model."""
    manifest, files = bundle_of(recipe, results, candidate, folder / "bundle")
    registry = InMemoryRegistry()
    register(registry, files, recipe.name, promote=True)
    with running_api(folder / "api", registry, database, default_model=recipe.name) as api:
        yield api, manifest


def encodings(columns: Sequence[InputColumn], rows: Rows) -> dict[str, Sent]:
    """Return a request of each protocol with the same rows, whose values are in the order of the columns."""
    names = [column.name for column in columns]
    values = [list(one) for one in zip(*rows, strict=True)]
    named = [dict(zip(names, row, strict=True)) for row in rows]
    tensors = [
        {"name": column.name, "datatype": DATATYPES[column.dtype], "shape": [len(rows)], "data": data}
        for column, data in zip(columns, values, strict=True)
    ]
    return {
        "native": in_json(NATIVE, {"features": [list(row) for row in rows]}),
        "open inference": in_json(INFER, {"inputs": tensors}),
        "binary": in_binary([binary_part(column, data) for column, data in zip(columns, values, strict=True)]),
        "dataframe_split": in_json(V1, {"dataframe_split": {"columns": names, "data": [list(row) for row in rows]}}),
        "dataframe_records": in_json(V1, {"dataframe_records": named}),
        "CSV": in_csv(csv_text(rows, names)),
    }


def check_served(api: RunningApi, manifest: Manifest, recipe: Recipe, results: Trained, candidate: str) -> None:
    """Compare the answers of every protocol for 1,000 rows of the recipe's domain with the estimator.

    The rows differ from those that the trainer compares.
    """
    drawn = draw_features(recipe.model_copy(update={"seed": 2026}), results.split.train_features)
    assert isinstance(drawn, TableFeatures)
    rows = drawn.cells.tolist()
    requests = encodings(manifest.columns, rows)
    answers = {name: predicted(sent.to(api, manifest.name), manifest.classes) for name, sent in requests.items()}

    first = answers["native"]
    for name, found in answers.items():
        assert (found.prediction, found.labels) == (first.prediction, first.labels), name
        assert found.probabilities in (None, first.probabilities), name
    _compare(recipe, results, candidate, drawn, first)


def _compare(recipe: Recipe, results: Trained, candidate: str, drawn: TableFeatures, found: Predicted) -> None:
    estimator = results.evaluations[candidate].fitted.estimator
    if not recipe.classes:
        expected = np.asarray(estimator.predict(for_estimator(drawn))).ravel()
        allowed = TOLERANCE * (np.abs(expected) + results.split.target_scale)
        assert np.all(np.abs(np.array(found.prediction) - expected) <= allowed)
        return
    probabilities = estimator.predict_proba(for_estimator(drawn))
    assert np.abs(np.array(found.probabilities) - probabilities).max() <= TOLERANCE
    if recipe.threshold is None:
        best_two = np.sort(probabilities, axis=1)[:, -2:]
        tied = best_two[:, 1] - best_two[:, 0] <= TOLERANCE
        classes = estimator.predict(for_estimator(drawn))
    else:
        positive = [*recipe.classes].index(recipe.positive_class)  # type: ignore[arg-type]
        tied = np.abs(probabilities[:, positive] - recipe.threshold) <= TOLERANCE
        classes = np.where(probabilities[:, positive] >= recipe.threshold, positive, 1 - positive)
    assert np.all((np.array(found.prediction) == classes) | tied)
    assert found.labels == [label_text(recipe.classes[int(index)]) for index in found.prediction]

"""Bundling: the core reads what the trainer writes, and the golden rows replay."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slipway_core.bundle import MANIFEST_FILE, MAX_REFERENCE_ROWS, REFERENCE_FILE, digest, read_bundle
from slipway_core.graph import Graph, replay
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE
from slipway_core.table_signature import signature_of
from slipway_trainer.bundling import GOLDEN_ROWS, WrittenBundle, write_bundle
from slipway_trainer.lineage import library_versions
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.iris import RECIPE as IRIS
from slipway_trainer.step_results import Split
from support.bike import BIKE, trained_bike
from support.iris import trained_iris

CREATED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
COMMIT = "c" * 40


def write(
    folder: Path, *, recipe: Recipe = IRIS, split: Split | None = None, commit: str | None = COMMIT
) -> WrittenBundle:
    folder.mkdir(exist_ok=True)
    iris = trained_iris()
    return write_bundle(
        folder,
        recipe=recipe,
        table=iris.table,
        split=split or iris.split,
        evaluation=iris.evaluations["random-forest"],
        created_at=CREATED_AT,
        git_commit=commit,
        libraries=library_versions(),
    )


def write_bike(folder: Path, name: str = "hist-gradient-boosting") -> WrittenBundle:
    bike = trained_bike()
    return write_bundle(
        folder,
        recipe=BIKE,
        table=bike.table,
        split=bike.split,
        evaluation=bike.evaluations[name],
        created_at=CREATED_AT,
        git_commit=COMMIT,
        libraries=library_versions(),
    )


def test_written_bundle_has_four_files_that_match_its_digests(tmp_path: Path) -> None:
    written = write(tmp_path)

    bundle = read_bundle(tmp_path, written.manifest_sha256)

    found = {path.name: digest(path.read_bytes()) for path in tmp_path.iterdir()}
    assert found.pop(MANIFEST_FILE) == written.manifest_sha256
    assert found == written.manifest.digests
    assert found.keys() == {MODEL_FILE, GOLDEN_FILE, REFERENCE_FILE}
    assert bundle.manifest == written.manifest
    assert bundle.model == trained_iris().evaluations["random-forest"].model


def test_golden_rows_are_test_rows_and_replay(tmp_path: Path) -> None:
    written = write(tmp_path)

    bundle = read_bundle(tmp_path, written.manifest_sha256)

    test_rows = list(map(tuple, trained_iris().split.test_features.tolist()))
    assert len(bundle.golden.rows) == GOLDEN_ROWS
    assert set(bundle.golden.rows) <= set(test_rows)
    # The rows of the file are sorted by class; the golden rows cover each class.
    assert set(bundle.golden.outputs.prediction) == {0, 1, 2}
    replay(Graph(bundle.model, bundle.manifest.graph), bundle.golden, signature_of(bundle.manifest))


def test_manifest_describes_the_model_and_its_data(tmp_path: Path) -> None:
    manifest = write(tmp_path).manifest

    assert (manifest.name, manifest.recipe, manifest.task) == ("iris", "iris", "classification")
    assert manifest.classes == ("setosa", "versicolor", "virginica")
    assert manifest.metrics == trained_iris().evaluations["random-forest"].metrics
    assert manifest.created_at == CREATED_AT
    assert manifest.git_commit == COMMIT
    assert manifest.libraries == library_versions()
    assert (manifest.data.version, manifest.data.rows) == (trained_iris().table.data_version, 150)
    assert manifest.data.split == "stratified by row"


@pytest.mark.parametrize(
    ("changes", "summary"),
    [({"split": "time"}, "time"), ({"split": "random", "split_key": "k" * 200}, f"random by '{'k' * 200}'")],
    ids=["time", "key"],
)
def test_manifest_states_the_split(tmp_path: Path, changes: dict[str, str], summary: str) -> None:
    assert write(tmp_path, recipe=IRIS.model_copy(update=changes)).manifest.data.split == summary


def test_manifest_has_the_inputs_with_their_training_range(tmp_path: Path) -> None:
    features = trained_iris().split.train_features

    inputs = write(tmp_path).manifest.columns

    assert [column.name for column in inputs] == IRIS.feature_names
    assert [column.unit for column in inputs] == ["cm"] * 4
    assert [column.min for column in inputs] == features.min(axis=0).tolist()
    assert [column.max for column in inputs] == features.max(axis=0).tolist()
    assert {column.dtype for column in inputs} == {"float32"}


def test_manifest_file_has_the_documented_fields(tmp_path: Path) -> None:
    write(tmp_path)

    content = json.loads((tmp_path / MANIFEST_FILE).read_text())

    assert content["schema_version"] == 2
    assert content["graph"] == {"label": "label", "scores": "probabilities"}
    assert content["created_at"] == "2026-11-20T12:00:00Z"
    assert content["decision"] is None
    assert content["inputs"] == [{"name": "X", "dtype": "float32", "shape": [4], "column": None, "part": None}]
    assert [column["name"] for column in content["columns"]] == IRIS.feature_names


def test_manifest_outside_a_checkout_has_no_commit(tmp_path: Path) -> None:
    written = write(tmp_path, commit=None)

    assert read_bundle(tmp_path, written.manifest_sha256).manifest.git_commit is None


def test_reference_has_the_training_rows_and_classes(tmp_path: Path) -> None:
    write(tmp_path)

    reference = pd.read_parquet(tmp_path / REFERENCE_FILE)

    split = trained_iris().split
    assert list(reference.columns) == [*IRIS.feature_names, "species"]
    assert np.array_equal(reference[IRIS.feature_names].to_numpy(), split.train_features)
    assert reference["species"].tolist() == [IRIS.classes[index] for index in split.train_target]


@pytest.mark.parametrize(("copies", "expected"), [(42, 42 * 117), (43, MAX_REFERENCE_ROWS)])
def test_reference_of_many_rows_is_a_sample(tmp_path: Path, copies: int, expected: int) -> None:
    split = trained_iris().split
    large = replace(
        split,
        train_features=np.tile(split.train_features, (copies, 1)),
        train_target=np.tile(split.train_target.astype(np.int64), copies),
    )

    write(tmp_path, split=large)

    reference = pd.read_parquet(tmp_path / REFERENCE_FILE)
    assert len(reference) == expected
    assert set(reference["species"]) == set(IRIS.classes)


@pytest.mark.parametrize("name", ["linear-regression", "random-forest", "hist-gradient-boosting"])
def test_golden_rows_of_a_regressor_replay(tmp_path: Path, name: str) -> None:
    written = write_bike(tmp_path, name)

    bundle = read_bundle(tmp_path, written.manifest_sha256)

    assert (bundle.manifest.task, bundle.manifest.classes) == ("regression", None)
    assert bundle.manifest.graph.scores is None
    assert bundle.golden.outputs.scores is None
    replay(Graph(bundle.model, bundle.manifest.graph), bundle.golden, signature_of(bundle.manifest))


def test_golden_tolerance_of_a_regressor_has_the_target_scale(tmp_path: Path) -> None:
    written = write_bike(tmp_path)

    golden = read_bundle(tmp_path, written.manifest_sha256).golden

    assert golden.atol == pytest.approx(1e-5 * np.std(trained_bike().split.train_target))
    assert golden.rtol == 1e-5


def test_columns_without_declared_categories_have_a_range(tmp_path: Path) -> None:
    inputs = {column.name: column for column in write_bike(tmp_path).manifest.columns}

    assert list(inputs) == BIKE.feature_names
    assert inputs["season"].categories is None
    assert (inputs["season"].min, inputs["season"].max) == (1, 4)
    assert inputs["temp"].categories is None
    assert inputs["temp"].unit == "41 °C"


def test_reference_of_a_regressor_has_the_target_values(tmp_path: Path) -> None:
    write_bike(tmp_path)

    reference = pd.read_parquet(tmp_path / REFERENCE_FILE)

    assert list(reference.columns) == [*BIKE.feature_names, "cnt"]
    assert np.array_equal(reference["cnt"].to_numpy(), trained_bike().split.train_target)


def test_the_same_training_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "first"), write(tmp_path / "second")

    assert first.manifest_sha256 == second.manifest_sha256

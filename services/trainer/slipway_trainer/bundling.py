"""Write a bundle: the files that are registered and served."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from slipway_core.bundle import (
    MANIFEST_FILE,
    MAX_REFERENCE_ROWS,
    REFERENCE_FILE,
    Golden,
    GoldenOutputs,
    digest,
    max_atol,
)
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.graph import Graph, ports
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE, SCHEMA_VERSION, DataLineage, Decision, Manifest
from slipway_trainer.decision import decision_of
from slipway_trainer.export import PARITY_TOLERANCE
from slipway_trainer.features import Features, TableFeatures, for_graph, graph_inputs, input_column
from slipway_trainer.recipes import Recipe
from slipway_trainer.sampling import evenly
from slipway_trainer.step_results import Evaluation, Split, Table
from slipway_trainer.tasks import task_of

GOLDEN_ROWS = 16


@dataclass(frozen=True)
class WrittenBundle:
    """A bundle in a folder.

    Attributes:
        manifest_sha256: the digest to store in a tag of the model version.
    """

    folder: Path
    manifest: Manifest
    manifest_sha256: str


def write_bundle(
    folder: Path,
    *,
    recipe: Recipe,
    table: Table,
    split: Split,
    evaluation: Evaluation,
    created_at: datetime,
    git_commit: str | None,
    libraries: dict[str, str],
    observed: bool = True,
) -> WrittenBundle:
    """Write the files of a bundle into an existing folder.

    Rows that are not `observed`, because they were drawn, yield neither ranges of columns nor reference rows.
    """
    (folder / MODEL_FILE).write_bytes(evaluation.model)
    names = evaluation.names
    decision = _decision(recipe)
    golden = _golden(Graph(evaluation.model, names, decision), split)
    (folder / GOLDEN_FILE).write_text(golden.model_dump_json(indent=1), encoding="utf-8")
    if observed:
        _reference(recipe, split).to_parquet(folder / REFERENCE_FILE, index=False)
    files = (MODEL_FILE, GOLDEN_FILE, *([REFERENCE_FILE] if observed else []))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=recipe.name,
        task=recipe.task,
        columns=_columns(recipe, split.train_features) if observed else tuple(map(input_column, recipe.columns)),
        inputs=_inputs(recipe, evaluation.model),
        graph=names,
        classes=recipe.classes or None,
        decision=decision,
        metrics=evaluation.metrics,
        data=DataLineage(version=table.data_version, rows=len(table.features), split=recipe.split_summary),
        recipe=recipe.origin,
        git_commit=git_commit,
        libraries=libraries,
        created_at=created_at,
        digests={name: digest((folder / name).read_bytes()) for name in files},
    )
    content = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False).encode()
    (folder / MANIFEST_FILE).write_bytes(content)
    return WrittenBundle(folder, manifest, digest(content))


def _golden(graph: Graph, split: Split) -> Golden:
    rows = split.test_features[evenly(len(split.test_features), GOLDEN_ROWS)]
    outputs = graph.run(for_graph(rows))
    values = rows.cells if isinstance(rows, TableFeatures) else rows
    expected = GoldenOutputs(
        prediction=outputs.prediction.tolist(),
        scores=None if outputs.scores is None else outputs.scores.tolist(),
    )
    atol = PARITY_TOLERANCE * (1.0 if outputs.scores is not None else split.target_scale)
    # If all golden rows are near zero, the target's own scale may exceed the tolerance that a replay allows.
    return Golden(rows=values.tolist(), outputs=expected, rtol=PARITY_TOLERANCE, atol=min(atol, max_atol(expected)))


def _columns(recipe: Recipe, features: Features) -> tuple[InputColumn, ...]:
    """Describe the columns, numbers with the range of the training rows."""
    if isinstance(features, TableFeatures):
        numbers = [column.is_number and bool(features.frame[column.name].notna().any()) for column in recipe.columns]
        ranges = [
            (float(features.frame[column.name].min()), float(features.frame[column.name].max())) if is_number else ()
            for column, is_number in zip(recipe.columns, numbers, strict=True)
        ]
    else:
        ranges = list(zip(features.min(axis=0).tolist(), features.max(axis=0).tolist(), strict=True))
    return tuple(input_column(column, *limits) for column, limits in zip(recipe.columns, ranges, strict=True))


def _inputs(recipe: Recipe, model: bytes) -> tuple[GraphInput, ...]:
    if not recipe.is_matrix:
        return graph_inputs(recipe.columns)
    return (GraphInput(name=ports(model)[0][0].name, dtype="float32", shape=(len(recipe.columns),)),)


def _decision(recipe: Recipe) -> Decision | None:
    found = decision_of(recipe)
    return None if found is None else Decision(positive_class=found[0], threshold=found[1])


def _reference(recipe: Recipe, split: Split) -> pd.DataFrame:
    features = split.train_features
    values = features.cells if isinstance(features, TableFeatures) else features
    frame = pd.DataFrame(values, columns=recipe.feature_names)
    if len(split.train_target):  # a registered model may have rows without their true values
        frame[recipe.target.name] = task_of(recipe).decode(split.train_target)
    return frame if len(frame) <= MAX_REFERENCE_ROWS else frame.sample(MAX_REFERENCE_ROWS, random_state=recipe.seed)

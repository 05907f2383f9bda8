"""Convert models of other programs as `slipway register` does, without MLflow's server."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from mlflow.models import Model, ModelSignature, infer_signature

from slipway_core.bundle import read_bundle
from slipway_core.graph import Graph, replay
from slipway_core.manifest import Manifest
from slipway_core.table_signature import signature_of
from slipway_trainer.bundling import write_bundle
from slipway_trainer.foreign.columns import Feature
from slipway_trainer.foreign.data import DataFile, data_file
from slipway_trainer.foreign.estimators import EstimatorModel
from slipway_trainer.foreign.evaluating import evaluate
from slipway_trainer.foreign.graphs import GraphModel
from slipway_trainer.foreign.model import ForeignModel
from slipway_trainer.foreign.recipe import recipe_of
from slipway_trainer.foreign.rows import rows_of
from slipway_trainer.foreign.schema import width_of
from slipway_trainer.foreign.source import Source
from slipway_trainer.step_results import Table

URI = "models:/theirs/1"
FILE = "rows.csv"


@dataclass(frozen=True)
class Conversion:
    """A bundle that was read back, and what it was made of."""

    manifest: Manifest
    graph: Graph
    features: tuple[Feature, ...]
    metrics: dict[str, float] = field(default_factory=dict)

    def predict(self, cells: list[list[Any]]) -> tuple[list[Any], Any]:
        """Return the predictions of rows as the API makes them: labels or values, and probabilities."""
        outputs = self.graph.run(signature_of(self.manifest).rows(cells))
        classes = self.manifest.classes
        found = outputs.prediction.tolist()
        return ([classes[index] for index in found] if classes else found), outputs.scores


def csv_data(rows: pd.DataFrame, target: Any = None) -> DataFile:
    """Return rows as a CSV file, with the target in the column `answer`."""
    frame = rows if target is None else rows.assign(answer=np.asarray(target))
    return data_file(FILE, frame.to_csv(index=False).encode(), None if target is None else "answer")


def convert(
    model: Any,
    folder: Path,
    *,
    signature: pd.DataFrame | ModelSignature | None = None,
    data: DataFile | None = None,
) -> Conversion:
    """Convert a fitted estimator, a native booster or an ONNX graph, and write and read its bundle.

    Args:
        model: the model.
        folder: an empty folder.
        signature: MLflow's signature, or rows to infer it from.
        data: the rows of `--data`.
    """
    described = infer_signature(signature) if isinstance(signature, pd.DataFrame) else signature
    mlmodel = Model(signature=described)
    foreign: ForeignModel
    if isinstance(model, onnx.ModelProto):
        onnx.save(model, folder / "model.onnx")
        width = width_of(mlmodel, None if data is None else data.features)
        foreign = GraphModel(URI, folder / "model.onnx", width)
    else:
        foreign = EstimatorModel(URI, model)
    rows = rows_of(Source(URI, folder, "sklearn", model=mlmodel), foreign, data)
    converted = foreign.convert(rows.features)
    has_target = len(rows.target) > 0
    recipe = recipe_of(
        "ours",
        URI,
        "sklearn",
        foreign,
        converted.columns,
        target="answer" if has_target else None,
        rarest=0 if has_target else None,
        metric=None,
        limits={},
    )
    split, evaluation = evaluate(recipe, foreign, converted, rows)
    bundle = folder / "bundle"
    bundle.mkdir()
    written = write_bundle(
        bundle,
        recipe=recipe,
        table=Table(split.test_features, split.test_target, ""),
        split=split,
        evaluation=evaluation,
        created_at=datetime(2026, 11, 29, tzinfo=UTC),
        git_commit=None,
        libraries={},
        observed=data is not None,
    )
    read = read_bundle(bundle, written.manifest_sha256)
    graph = Graph(read.model, read.manifest.graph)
    graph.check_inputs(read.manifest.inputs)
    replay(graph, read.golden, signature_of(read.manifest))
    return Conversion(read.manifest, graph, rows.features, dict(evaluation.metrics))


def cells_of(frame: pd.DataFrame) -> list[list[Any]]:
    """Return rows as a client sends them."""
    return [
        [None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value for value in row]
        for row in frame.itertuples(index=False, name=None)
    ]

"""Register a model that Slipway did not train: load → columns → convert → register → promote."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from slipway_core.plurals import count_of
from slipway_core.registry import ModelVersion, Registry
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.gate_result import GateResult, PromoteMode
from slipway_core.registry.sign_existing import sign_bundle
from slipway_core.signing import Signer, TrustedKeys
from slipway_trainer.bundling import WrittenBundle, write_bundle
from slipway_trainer.foreign.columns import Feature
from slipway_trainer.foreign.data import DataFile
from slipway_trainer.foreign.estimators import EstimatorModel
from slipway_trainer.foreign.evaluating import evaluate
from slipway_trainer.foreign.graphs import GraphModel
from slipway_trainer.foreign.loading import load_estimator
from slipway_trainer.foreign.model import ForeignModel
from slipway_trainer.foreign.promoting import promote_without_score
from slipway_trainer.foreign.recipe import AllRows, ForeignRecipe, recipe_of
from slipway_trainer.foreign.rows import DRAWN, Rows, rows_of
from slipway_trainer.foreign.schema import width_of
from slipway_trainer.foreign.source import Source
from slipway_trainer.lineage import library_versions
from slipway_trainer.pipeline import Reporter, promotion_sentence
from slipway_trainer.recipes import Column
from slipway_trainer.step_results import Evaluation, Table
from slipway_trainer.steps.promote import promote
from slipway_trainer.tracked_data import TrackedData
from slipway_trainer.tracking import RECIPE_TAG, Tracker

SOURCE_TAG = "slipway.source"
SOURCE_RUN_TAG = "slipway.source_run"
SOURCE_FLAVOR_TAG = "slipway.source_flavor"
SOURCE_LIBRARY_TAG = "slipway.source_library"
SHOWN = 10


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        name: the name to register the model under.
        data: rows of the model; None without data.
        trust: whether to load a model whose file can run code.
        metric: the metric of the comparison with Production; None for the default.
        limits: the floor or ceiling of each metric.
    """

    name: str
    data: DataFile | None
    trust: bool
    promote: PromoteMode
    metric: str | None
    limits: Mapping[str, float]


@dataclass(frozen=True)
class Registered:
    """The result of a registration.

    Attributes:
        example: a row as clients send it.
    """

    version: ModelVersion
    gate_result: GateResult
    example: Mapping[str, object]


def register_model(
    source: Source,
    request: Request,
    *,
    tracker: Tracker,
    registry: Registry,
    by: str,
    reporter: Reporter,
    signer: Signer | None = None,
    trusted: TrustedKeys | None = None,
) -> Registered:
    """Register a model as a bundle.

    Args:
        source: the downloaded model.
        request: what the user asked for.
        tracker: logs the runs and the version.
        registry: the model registry.
        by: the user or service that registers, for the runs and the promotion history.
        reporter: receives the result of each step.
        signer: signs the version and its promotion.
        trusted: the keys whose signatures a version must have to be compared with.

    Raises:
        SlipwayError: the model cannot be registered. The served version does not change.
    """
    started_at = time.time()
    model = _load(source, request)
    reporter.step_finished("load", _loaded(source, model))
    rows = rows_of(source, model, request.data)
    reporter.step_finished("columns", _described(rows.features))
    converted = model.convert(rows.features)
    recipe = _recipe(source, request, model, converted.columns, rows)
    split, evaluation = evaluate(recipe, model, converted, rows)
    compared = rows.what if rows.what == DRAWN else f"{rows.what} and on drawn rows"
    reporter.step_finished("convert", f"the ONNX graph returns the model's own predictions on {compared}")
    version = _register(source, recipe, request, split, evaluation, started_at, tracker, registry, by, signer)
    reporter.step_finished("register", f"version {version.version} of {recipe.name}")
    if len(rows.target):
        gate_result = promote(
            recipe,
            version,
            evaluation,
            split,
            mode=request.promote,
            registry=registry,
            by=by,
            signer=signer,
            trusted=trusted,
        )
        reporter.gate_result(recipe, (evaluation,), evaluation, gate_result)
    else:
        gate_result = promote_without_score(version, mode=request.promote, registry=registry, by=by, signer=signer)
    reporter.step_finished("promote", promotion_sentence(recipe, version, gate_result))
    example = dict(zip(recipe.feature_names, rows.cells[0].tolist(), strict=True))
    return Registered(version, gate_result, example)


def _load(source: Source, request: Request) -> ForeignModel:
    if source.flavor != "onnx":
        return EstimatorModel(source.uri, load_estimator(source, trust=request.trust))
    table = None if request.data is None else request.data.features
    file = source.folder / str(source.settings.get("data", "model.onnx"))
    return GraphModel(source.uri, file, width_of(source.model, table))


def _recipe(
    source: Source, request: Request, model: ForeignModel, columns: tuple[Column, ...], rows: Rows
) -> ForeignRecipe:
    return recipe_of(
        request.name,
        source.uri,
        source.flavor,
        model,
        columns,
        target=None if request.data is None else request.data.target,
        rarest=_rarest(model, rows),
        metric=request.metric,
        limits=request.limits,
    )


def _loaded(source: Source, model: ForeignModel) -> str:
    labels = ", ".join(map(repr, model.classes[:SHOWN])) + (", …" if len(model.classes) > SHOWN else "")
    library = f" ({source.library})" if source.library else ""
    return f"{source.uri}: {source.flavor}{library}, {model.task}{f' of {labels}' if labels else ''}"


def _described(features: tuple[Feature, ...]) -> str:
    shown = [f"{one.name} ({one.kind}{', may be missing' if one.nullable else ''})" for one in features[:SHOWN]]
    more = ", …" if len(features) > SHOWN else ""
    return f"{count_of(len(features), 'column')}: {', '.join(shown)}{more}"


def _rarest(model: ForeignModel, rows: Rows) -> int | None:
    """Return the index of the class with the fewest rows; None without classes or target."""
    if not (model.classes and len(rows.target)):
        return None
    return int(np.bincount(rows.target.astype(np.int64), minlength=len(model.classes)).argmin())


def _register(
    source: Source,
    recipe: ForeignRecipe,
    request: Request,
    split: AllRows,
    evaluation: Evaluation,
    started_at: float,
    tracker: Tracker,
    registry: Registry,
    by: str,
    signer: Signer | None,
) -> ModelVersion:
    """Write the bundle, register it, and read it back as the API does."""
    data, lineage = request.data, _lineage(source)
    tags = {
        RECIPE_TAG: recipe.name,
        **lineage,
        "mlflow.source.name": f"slipway register {recipe.name}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": by,
    }
    parameters: dict[str, str | int | float] = {"source": source.uri, "flavor": source.flavor}
    tracked = None
    if data is not None:
        parameters |= {"data": data.path, "data_version": data.version, "rows": split.n_rows, "metric": recipe.metric}
        tracked = TrackedData(data.name, data.version, data.path, split.n_rows)
    with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as folder:
        bundle = _write(Path(folder), source, recipe, data, split, evaluation)
        runs = tracker.log_runs(
            recipe, (evaluation,), evaluation, started_at=started_at, parameters=parameters, tags=tags, data=tracked
        )
        with tracker.finishing(runs):
            number = tracker.register(recipe, bundle, runs, evaluation, chosen=True)
            version = registry.get_version(recipe.name, number)
            fetch_bundle(registry, version, bundle.manifest_sha256)
            if signer is not None:
                sign_bundle(registry, version, signer, bundle.manifest_sha256)
            for tag, value in lineage.items():
                registry.set_version_tag(recipe.name, number, tag, value)
    return registry.get_version(recipe.name, number)


def _write(
    folder: Path,
    source: Source,
    recipe: ForeignRecipe,
    data: DataFile | None,
    split: AllRows,
    evaluation: Evaluation,
) -> WrittenBundle:
    n_rows = 0 if data is None else split.n_rows
    return write_bundle(
        folder,
        recipe=recipe,
        table=Table(split.test_features[np.arange(n_rows)], split.test_target, "" if data is None else data.version),
        split=split,
        evaluation=evaluation,
        created_at=datetime.now(UTC),
        git_commit=source.git_commit,
        libraries=library_versions(),
        observed=data is not None,
    )


def _lineage(source: Source) -> dict[str, str]:
    """Return the tags that name the origin of a version."""
    tags = {
        SOURCE_TAG: source.version or source.uri,
        SOURCE_FLAVOR_TAG: source.flavor,
        SOURCE_RUN_TAG: source.run_id,
        SOURCE_LIBRARY_TAG: source.library,
    }
    return {tag: value for tag, value in tags.items() if value}

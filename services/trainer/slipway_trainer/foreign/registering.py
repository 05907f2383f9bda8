"""Register a model that Slipway did not train: load → columns → convert → score → register → promote."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from slipway_core.errors import FeaturesError
from slipway_core.graph import Graph
from slipway_core.plurals import count_of
from slipway_core.registry import ModelVersion, Registry
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.gate_result import GateResult, PromoteMode
from slipway_trainer.bundling import write_bundle
from slipway_trainer.drawing import draw_features
from slipway_trainer.errors import DataRefusedError, ForeignModelError
from slipway_trainer.features import Features, TableFeatures, for_graph
from slipway_trainer.foreign import parity
from slipway_trainer.foreign.columns import Feature
from slipway_trainer.foreign.data import DataFile, cells_of, classes_of, values_of
from slipway_trainer.foreign.estimators import EstimatorModel
from slipway_trainer.foreign.graphs import GraphModel
from slipway_trainer.foreign.loading import load_estimator
from slipway_trainer.foreign.model import Cells, Converted, ForeignModel
from slipway_trainer.foreign.promoting import promote_without_score
from slipway_trainer.foreign.recipe import AllRows, ForeignRecipe, class_names, graph_rows, recipe_of
from slipway_trainer.foreign.schema import cells_of_frame, example_of, features_of, with_gaps
from slipway_trainer.foreign.source import Source
from slipway_trainer.lineage import library_versions
from slipway_trainer.pipeline import Reporter, promotion_sentence
from slipway_trainer.step_results import Evaluation, Fitted, Table
from slipway_trainer.steps.evaluate import check_defined
from slipway_trainer.steps.promote import promote
from slipway_trainer.tasks import task_of
from slipway_trainer.tracked_data import TrackedData
from slipway_trainer.tracking import GIT_COMMIT_TAG, RECIPE_TAG, Tracker

SOURCE_TAG = "slipway.source"
SOURCE_RUN_TAG = "slipway.source_run"
SOURCE_FLAVOR_TAG = "slipway.source_flavor"
ROWS_OF_EXAMPLE = "rows of the input example"


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        name: the name to register the model under.
        data: rows of the model; None without.
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

    recipe: ForeignRecipe
    version: ModelVersion
    gate_result: GateResult
    example: Mapping[str, object]


@dataclass(frozen=True)
class _Rows:
    """The rows to compare and score.

    Attributes:
        cells: (n_rows, n_columns) values as clients send them.
        target: (n_rows,) class indices or values; empty without a target.
        what: what they are, for messages.
    """

    cells: Cells
    target: "np.ndarray[tuple[int], np.dtype[np.float64] | np.dtype[np.int64]]"
    what: str


def register_model(
    source: Source, request: Request, *, tracker: Tracker, registry: Registry, by: str, commit: str, reporter: Reporter
) -> Registered:
    """Register a model as a bundle.

    Raises:
        SlipwayError: the model cannot be registered. The served version does not change.
    """
    started_at = time.time()
    model: ForeignModel
    if source.flavor == "onnx":
        model = GraphModel(
            source.uri, source.folder / str(source.settings.get("data", "model.onnx")), _width(source, request.data)
        )
    else:
        model = EstimatorModel(source.uri, load_estimator(source, trust=request.trust))
    reporter.step_finished("load", _loaded(source, model))
    features, rows = _columns(source, model, request.data)
    reporter.step_finished("columns", _described(features))
    converted = model.convert(features)
    recipe = recipe_of(
        request.name,
        source.uri,
        source.flavor,
        model,
        converted.columns,
        target=None if request.data is None else request.data.target,
        rarest=_rarest(model, rows),
        metric=request.metric,
        limits=request.limits,
    )
    split, evaluation = _evaluate(recipe, model, converted, features, rows)
    reporter.step_finished("convert", f"the graph returns the model's own predictions on {rows.what} and on drawn rows")
    version = _register(
        source, recipe, request, split, evaluation, started_at, tracker=tracker, registry=registry, by=by, commit=commit
    )
    reporter.step_finished("register", f"version {version.version} of {recipe.name}")
    if len(rows.target):
        gate_result = promote(recipe, version, evaluation, split, mode=request.promote, registry=registry, by=by)
        reporter.gate_result(recipe, (evaluation,), evaluation, gate_result)
    else:
        gate_result = promote_without_score(version, mode=request.promote, registry=registry, by=by)
    reporter.step_finished("promote", promotion_sentence(recipe, version, gate_result))
    return Registered(recipe, version, gate_result, _example(recipe, rows))


def _width(source: Source, data: DataFile | None) -> int | None:
    """Return the number of columns in the signature, or otherwise in the data."""
    signature = None if source.model is None else source.model.signature
    if signature is not None and signature.inputs is not None:
        inputs = signature.inputs
        return int(inputs.inputs[0].shape[-1]) if inputs.is_tensor_spec() else len(inputs.inputs)
    return None if data is None else data.features.shape[1]


def _loaded(source: Source, model: ForeignModel) -> str:
    labels = f" of {', '.join(map(repr, model.classes[:10]))}{', …' * (len(model.classes) > 10)}"  # noqa: PLR2004
    return f"{source.uri}, flavor {source.flavor}: {model.task}{labels if model.classes else ''}"


def _columns(source: Source, model: ForeignModel, data: DataFile | None) -> tuple[tuple[Feature, ...], _Rows]:
    """Return the model's columns, and the rows to compare: of the data, of the input example, or drawn."""
    example = example_of(source.model, str(source.folder))
    features = features_of(source.uri, model.known, source.model, example, None if data is None else data.features)
    none = np.empty(0)
    if data is not None:
        cells = cells_of(data, features, gaps=model.gaps)
        features = model.described(with_gaps(features, cells), cells)
        target = none
        if data.target is not None:
            target = classes_of(data, class_names(model.classes)) if model.classes else values_of(data)
        return features, _Rows(cells, target, f"the rows of {data.name}")
    if example is not None and example.shape[1] == len(features):
        cells = cells_of_frame(example)
        features = model.described(with_gaps(features, cells), cells)
        return features, _Rows(cells, none, ROWS_OF_EXAMPLE)
    features = model.described(features, None)
    words = [model.words(feature) for feature in features]
    for feature, known in zip(features, words, strict=True):
        if feature.kind == "string" and not (feature.categories or known):
            raise ForeignModelError(
                f"the column {feature.name!r} of {source.uri} holds text, and nothing shows which: there is no input "
                "example, and no encoder lists its categories; pass a CSV file with rows of the model: --data rows.csv"
            )
    return features, _Rows(parity.draw_cells(features, words, np.random.default_rng(0)), none, "drawn rows")


def _described(features: tuple[Feature, ...]) -> str:
    shown = ", ".join(f"{one.name} ({one.kind}{', may be missing' if one.nullable else ''})" for one in features[:10])
    return f"{count_of(len(features), 'column')}: {shown}{', …' if len(features) > 10 else ''}"  # noqa: PLR2004


def _rarest(model: ForeignModel, rows: _Rows) -> int | None:
    if not (model.classes and len(rows.target)):
        return None
    return int(np.bincount(rows.target.astype(np.int64), minlength=len(model.classes)).argmin())


def _evaluate(
    recipe: ForeignRecipe, model: ForeignModel, converted: Converted, features: tuple[Feature, ...], rows: _Rows
) -> tuple[AllRows, Evaluation]:
    """Compare the graph with the model, and score it if the true values are known."""
    try:
        given = graph_rows(recipe, rows.cells)
    except FeaturesError as error:
        raise DataRefusedError([f"row {int(error.problems[0].loc[0]) + 1}: {error.problems[0].msg}"]) from error
    graph = Graph(converted.model, converted.names)
    expected = model.predict(features, rows.cells)
    scale = float(np.std(rows.target)) if len(rows.target) else float(np.std(expected.prediction))
    difference = parity.check(
        recipe, graph, given, expected, cells=rows.cells, features=features, scale=scale, what=rows.what
    )
    if rows.what != "drawn rows":
        drawn, cells = _drawn(recipe, given)
        difference = max(
            difference,
            parity.check(
                recipe,
                graph,
                drawn,
                model.predict(features, cells),
                cells=cells,
                features=features,
                scale=scale,
                what="rows drawn from the values of the columns",
            ),
        )
    outputs = graph.run(for_graph(given))
    metrics: dict[str, float] = {}
    if len(rows.target):
        metrics = task_of(recipe).score(outputs, rows.target)
        check_defined(recipe, metrics, len(rows.target))
        metrics = {name: metrics[name] for name in recipe.deciding_metrics} | metrics
    fitted = Fitted(recipe.candidates[0], model, {"source": recipe.source}, (), time.time(), 0.0, 0.0)
    split = AllRows(given, rows.target, given, rows.target, scale=scale)
    return split, Evaluation(fitted, converted.model, converted.names, metrics, outputs, difference)


def _drawn(recipe: ForeignRecipe, given: Features) -> tuple[Features, Cells]:
    """Return rows drawn around the given ones, as the graph takes them and as clients send them."""
    drawn = draw_features(recipe, given)
    if isinstance(drawn, TableFeatures):
        return drawn, drawn.cells
    return drawn, drawn.astype(float).astype(object)


def _register(
    source: Source,
    recipe: ForeignRecipe,
    request: Request,
    split: AllRows,
    evaluation: Evaluation,
    started_at: float,
    *,
    tracker: Tracker,
    registry: Registry,
    by: str,
    commit: str,
) -> ModelVersion:
    """Write the bundle, register it, and read it back as the API does."""
    data = request.data
    tags = {
        RECIPE_TAG: recipe.name,
        SOURCE_TAG: source.version or source.uri,
        SOURCE_FLAVOR_TAG: source.flavor,
        **({SOURCE_RUN_TAG: source.run_id} if source.run_id else {}),
        GIT_COMMIT_TAG: commit,
        "mlflow.source.name": f"slipway register {recipe.name}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": by,
    }
    parameters: dict[str, str | int | float] = {"source": source.uri, "flavor": source.flavor}
    if source.run_id:
        parameters["source_run"] = source.run_id
    version = "" if data is None else data.version
    n_rows = 0 if data is None else split.n_rows
    tracked = None
    if data is not None:
        parameters |= {"data": data.path, "data_version": data.version, "rows": n_rows, "metric": recipe.metric}
        tracked = TrackedData(data.name, data.version, data.path, n_rows)
    with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as folder:
        bundle = write_bundle(
            Path(folder),
            recipe=recipe,
            table=Table(split.test_features[:n_rows], split.test_target[:n_rows], version),
            split=split,
            evaluation=evaluation,
            created_at=datetime.now(UTC),
            git_commit=None,
            libraries=library_versions(),
            observed=data is not None,
        )
        runs = tracker.log_runs(
            recipe, (evaluation,), evaluation, started_at=started_at, parameters=parameters, tags=tags, data=tracked
        )
        with tracker.finishing(runs):
            return _registered(
                recipe, bundle.manifest_sha256, tracker.register(recipe, bundle, runs, evaluation), source, registry
            )


def _registered(recipe: ForeignRecipe, manifest: str, number: str, source: Source, registry: Registry) -> ModelVersion:
    version = registry.get_version(recipe.name, number)
    fetch_bundle(registry, version, manifest)  # as the API does
    for tag, value in (
        (SOURCE_TAG, source.version or source.uri),
        (SOURCE_FLAVOR_TAG, source.flavor),
        (SOURCE_RUN_TAG, source.run_id),
    ):
        if value:
            registry.set_version_tag(recipe.name, number, tag, value)
    return registry.get_version(recipe.name, number)


def _example(recipe: ForeignRecipe, rows: _Rows) -> Mapping[str, object]:
    values = rows.cells[0].tolist()
    return dict(zip(recipe.feature_names, values, strict=True))

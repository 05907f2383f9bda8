"""Open a version's files: check the digests, load the graph, replay the golden rows, warm up.

A new version is opened in a child process first (`trial.py`): its graph may never end, or use all memory.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from slipway_api.serving.bundle_cache import LastServed
from slipway_api.serving.inline_rows import measure_inline_rows
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.unverified import read_foreign, valid_row
from slipway_core.bundle import MLMODEL_FILE, digest, read_bundle
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, RunOptions, replay
from slipway_core.manifest import MODEL_FILE, Manifest
from slipway_core.registry import ModelVersion
from slipway_core.rows import Rows, repeated
from slipway_core.table_signature import signature_of

WARM_UP_ROWS = (1, 1, 64)
# How long the runs of a load, or the trial of a version, may take.
LOAD_SECONDS = 60.0


def open_bundle(folder: Path, known: LastServed, source: Literal["registry", "cache"]) -> ServedModel:
    """Open a bundle that Slipway's trainer registered.

    Args:
        folder: the folder with its files.
        known: the version, and the expected digest of its manifest.
        source: where the version was named.

    Raises:
        BundleError: it is damaged or incomplete, or its graph does not reproduce the golden rows.
    """
    bundle = read_bundle(folder, known.manifest_sha256)
    manifest = bundle.manifest
    if manifest.name != known.name:
        raise BundleError(f"the bundle is of the model {manifest.name}, not of {known.name}")
    model = _served(manifest, bundle.model, known, source)
    with _deadline() as options:
        return _warm_up(model, replay(model.graph, bundle.golden, model.signature, options), options)


def open_foreign(folder: Path, version: ModelVersion) -> ServedModel:
    """Open an ONNX model that another tool registered, without digests and golden rows.

    Raises:
        BundleError: the inputs or outputs of its graph are not supported.
    """
    mlmodel, graph = ((folder / file).read_bytes() for file in (MLMODEL_FILE, MODEL_FILE))
    with _deadline() as options:
        foreign = read_foreign(version, mlmodel, graph, options)
    manifest = foreign.manifest
    known = LastServed(
        name=version.name,
        version=version.version,
        manifest_sha256=digest(manifest.model_dump_json().encode()),
        run_id=version.run_id,
        description=version.description,
    )
    model = replace(_served(manifest, foreign.graph, known, "registry"), verified=False)
    with _deadline() as options:
        return _warm_up(model, valid_row(manifest.columns, manifest.inputs), options)


def _served(manifest: Manifest, model: bytes, known: LastServed, source: Literal["registry", "cache"]) -> ServedModel:
    graph = Graph(model, manifest.graph, manifest.decision)
    graph.check_inputs(manifest.inputs)
    return ServedModel(
        name=known.name,
        version=known.version,
        manifest=manifest,
        manifest_sha256=known.manifest_sha256,
        graph=graph,
        signature=signature_of(manifest),
        run_id=known.run_id,
        description=known.description,
        loaded_at=datetime.now(UTC),
        source=source,
        signature_tag=known.signature,
    )


@contextmanager
def _deadline() -> Iterator[RunOptions]:
    """Give options to runs, which end between two operators when the time of a load is over.

    Raises:
        BundleError: it is over.
    """
    options = RunOptions()
    timer = threading.Timer(LOAD_SECONDS, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    except BundleError as error:
        if not options.terminate:
            raise
        raise BundleError(
            f"the graph did not finish its golden rows and first runs within {LOAD_SECONDS:g} s: "
            "train a smaller or faster model, or promote another version"
        ) from error
    finally:
        timer.cancel()


def _warm_up(model: ServedModel, rows: Rows, options: RunOptions) -> ServedModel:
    """Run a model a few times, and note how many rows the event loop can run."""
    for count in (len(rows), *WARM_UP_ROWS):
        model.answer(repeated(rows, count), options)
    if not model.graph.cost_follows_rows:
        return model
    return replace(model, inline_rows=measure_inline_rows(partial(model.answer, options=options), rows))

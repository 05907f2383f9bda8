"""Open a version's files: check the digests, load the graph, replay the golden rows, warm up.

A new version is opened in a child process first (`trial.py`): its graph may never end, or take all the memory.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from slipway_api.serving.bundle_cache import LastServed
from slipway_api.serving.inline_rows import measure_inline_rows
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.unverified import derive_manifest
from slipway_core.bundle import MLMODEL_FILE, MODEL_FILE, Manifest, digest, read_bundle
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, replay
from slipway_core.registry import ModelVersion
from slipway_core.signature import FloatMatrix, Signature

WARM_UP_ROWS = (1, 1, 64)


def open_bundle(folder: Path, known: LastServed, source: Literal["registry", "cache"], *, pinned: bool) -> ServedModel:
    """Open a bundle that Slipway's trainer registered.

    Args:
        folder: where its files are.
        known: the version, and the digest that its manifest must have.
        source: where the version was named.
        pinned: whether the settings name this very version.

    Raises:
        BundleError: it is damaged, incomplete, or does not do what was evaluated.
    """
    bundle = read_bundle(folder, known.manifest_sha256)
    manifest = bundle.manifest
    if manifest.name != known.name:
        raise BundleError(f"the bundle is of the model {manifest.name}, not of {known.name}")
    model = _served(manifest, bundle.model, known, source, pinned=pinned)
    replay(model.graph, bundle.golden)
    return _warm_up(model, np.array(bundle.golden.rows, dtype=np.float32))


def open_foreign(folder: Path, version: ModelVersion, *, pinned: bool) -> ServedModel:
    """Open an ONNX model that another tool registered: it has no digests and no golden rows.

    Raises:
        BundleError: it has no signature of float features, or its graph does not answer as Slipway needs.
    """
    mlmodel, graph = ((folder / file).read_bytes() for file in (MLMODEL_FILE, MODEL_FILE))
    manifest = derive_manifest(version, mlmodel, graph)
    known = LastServed(
        name=version.name,
        version=version.version,
        manifest_sha256=digest(manifest.model_dump_json().encode()),
        run_id=version.run_id,
        description=version.description,
    )
    model = replace(_served(manifest, graph, known, "registry", pinned=pinned), verified=False)
    return _warm_up(model, np.zeros((1, len(manifest.inputs)), dtype=np.float32))


def _served(
    manifest: Manifest, graph: bytes, known: LastServed, source: Literal["registry", "cache"], *, pinned: bool
) -> ServedModel:
    return ServedModel(
        name=known.name,
        version=known.version,
        manifest=manifest,
        manifest_sha256=known.manifest_sha256,
        graph=Graph(graph, manifest.graph),
        signature=Signature(manifest.inputs),
        run_id=known.run_id,
        description=known.description,
        loaded_at=datetime.now(UTC),
        source=source,
        pinned=pinned,
    )


def _warm_up(model: ServedModel, rows: FloatMatrix) -> ServedModel:
    """Run a model a few times, and note how many rows the event loop can run."""
    for count in (len(rows), *WARM_UP_ROWS):
        model.answer(np.resize(rows, (count, rows.shape[1])))
    if not model.graph.cost_follows_rows:
        return model
    return replace(model, inline_rows=measure_inline_rows(model.answer, rows))

"""Load one model version beside what is served: fetch, verify, replay the golden rows, warm up."""

import tempfile
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from slipway_api.serving.bundle_cache import BundleCache, LastServed
from slipway_api.serving.foreign import derive_manifest
from slipway_api.serving.inline_rows import measure_inline_rows
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.served_model import ServedModel
from slipway_core.bundle import (
    MANIFEST_FILE,
    MANIFEST_TAG,
    MLMODEL_FILE,
    MODEL_FILE,
    SERVED_FILES,
    Manifest,
    digest,
    is_digest,
    read_bundle,
)
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, replay
from slipway_core.logging import get_logger
from slipway_core.registry import ModelVersion, Registry
from slipway_core.signature import FloatMatrix, Signature

WARM_UP_ROWS = (1, 1, 64)

log = get_logger("slipway.loader")


class Loader:
    """Makes served models from registered versions, through the local cache."""

    def __init__(self, registry: Registry, cache: BundleCache, *, allow_unverified: bool = False) -> None:
        """Load nothing yet.

        Args:
            registry: where versions are fetched from.
            cache: where their bundles are kept.
            allow_unverified: whether to load versions that Slipway's trainer did not register.
        """
        self._registry = registry
        self._cache = cache
        self._allow_unverified = allow_unverified

    def load(self, version: ModelVersion, *, pinned: bool = False) -> ServedModel:
        """Load a version that the registry named.

        A cache that cannot be written is logged, not fatal: the version is then served without it.

        Args:
            version: the version.
            pinned: whether the settings name this very version.

        Raises:
            BundleError: the bundle is damaged, incomplete, or does not do what was evaluated.
            RegistryError: it could not be fetched.
        """
        expected = version.tags.get(MANIFEST_TAG, "")
        if MANIFEST_TAG not in version.tags and self._allow_unverified:
            return self._unverified(version, pinned=pinned)
        if not is_digest(expected):
            raise BundleError(
                f"version {version.version} has no SHA-256 in its tag {MANIFEST_TAG}: "
                "Slipway's trainer did not register it (SLIPWAY_ALLOW_UNVERIFIED_MODELS=true serves such ONNX models)"
            )
        known = LastServed(
            name=version.name,
            version=version.version,
            manifest_sha256=expected,
            run_id=version.run_id,
            description=version.description,
        )
        folder = self._cache.folder(version.name, version.version, expected)
        if self._cache.holds(folder):
            try:
                return _verified(folder, known, "registry", pinned=pinned)
            except BundleError as error:
                log.warning("cached_bundle_damaged", model=version.name, version=version.version, reason=str(error))
                self._cache.remove(folder)
        try:
            with self._cache.adding(folder) as partial:
                return self._fetched(version, known, partial, pinned=pinned)
        except OSError as error:
            log.warning("bundle_cache_not_written", model=version.name, reason=error.strerror)
        try:
            with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as temporary:
                return self._fetched(version, known, Path(temporary), pinned=pinned)
        except OSError as error:
            raise _nothing_written(error) from error

    def load_last_served(self, ref: ModelRef) -> ServedModel | None:
        """Load what was served under a reference last from the cache alone; None if nothing is known.

        Raises:
            BundleError: what is in the cache is damaged.
        """
        known = self._cache.last_served(ref)
        if known is None:
            return None
        folder = self._cache.folder(known.name, known.version, known.manifest_sha256)
        return _verified(folder, known, "cache", pinned=ref.is_pinned)

    def cached_names(self) -> list[str]:
        """Return the models of which the cache knows what was served last."""
        return self._cache.names()

    def remember(self, model: ServedModel, pins: Collection[str] = ()) -> bool:
        """Note in the cache that a model is served now, and remove what the cache no longer needs.

        Args:
            model: what is served.
            pins: the model's versions that the settings name.

        Returns:
            Whether a restart could serve it without the registry. A cache that cannot be written is logged, not fatal.
        """
        if not self._cache.holds(self._cache.folder(model.name, model.version, model.manifest_sha256)):
            return False
        note = LastServed(
            name=model.name,
            version=model.version,
            manifest_sha256=model.manifest_sha256,
            run_id=model.run_id,
            description=model.description,
        )
        try:
            self._cache.remember(note, pinned=model.pinned)
        except OSError as error:
            log.warning("bundle_cache_not_written", model=model.name, reason=error.strerror)
            return False
        self._cache.prune(model.name, pins)
        return True

    def forget(self, ref: ModelRef) -> None:
        """Note in the cache that nothing is served under a reference any more."""
        self._cache.forget(ref)

    def _unverified(self, version: ModelVersion, *, pinned: bool) -> ServedModel:
        """Load a version that somebody else registered. It is not cached: nothing could tell damage there."""
        try:
            with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as temporary:
                paths = [Path(temporary) / file for file in (MLMODEL_FILE, MODEL_FILE)]
                for path in paths:
                    self._registry.fetch(version, path.name, path)
                mlmodel, graph = (path.read_bytes() for path in paths)
        except OSError as error:
            raise _nothing_written(error) from error
        manifest = derive_manifest(version, mlmodel, graph)
        known = LastServed(
            name=version.name,
            version=version.version,
            manifest_sha256=digest(manifest.model_dump_json().encode()),
            run_id=version.run_id,
            description=version.description,
        )
        model = replace(_served(manifest, graph, known, "registry", pinned=pinned), verified=False)
        model = _warm_up(model, graph, np.zeros((1, len(manifest.inputs)), dtype=np.float32))
        log.warning("unverified_model_loaded", model=model.name, version=model.version)
        return model

    def _fetched(self, version: ModelVersion, known: LastServed, folder: Path, *, pinned: bool) -> ServedModel:
        """Fetch into an empty folder and verify there: what other processes find in the cache has been checked."""
        for file in (MANIFEST_FILE, *SERVED_FILES):
            self._registry.fetch(version, file, folder / file)
        return _verified(folder, known, "registry", pinned=pinned)


def _verified(folder: Path, known: LastServed, source: Literal["registry", "cache"], *, pinned: bool) -> ServedModel:
    bundle = read_bundle(folder, known.manifest_sha256)
    manifest = bundle.manifest
    if manifest.name != known.name:
        raise BundleError(f"the bundle is of the model {manifest.name}, not of {known.name}")
    model = _served(manifest, bundle.model, known, source, pinned=pinned)
    replay(model.graph, bundle.golden)
    return _warm_up(model, bundle.model, np.array(bundle.golden.rows, dtype=np.float32))


def _nothing_written(error: OSError) -> BundleError:
    return BundleError(
        f"neither the bundle cache nor a temporary folder can be written ({error.strerror}): "
        "check SLIPWAY_CACHE_DIR and its disk"
    )


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


def _warm_up(model: ServedModel, graph: bytes, rows: FloatMatrix) -> ServedModel:
    """Run a model a few times, and note how many rows the event loop can run."""
    for count in (len(rows), *WARM_UP_ROWS):
        model.answer(np.resize(rows, (count, rows.shape[1])))
    return replace(model, inline_rows=measure_inline_rows(model.answer, graph, rows))

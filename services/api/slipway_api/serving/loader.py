"""Load one model version beside what is served: fetch, verify, replay the golden rows, warm up."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from slipway_api.serving.bundle_cache import BundleCache, LastServed
from slipway_api.serving.served_model import ServedModel
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, SERVED_FILES, is_digest, read_bundle
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, replay
from slipway_core.logging import get_logger
from slipway_core.registry import ModelVersion, Registry
from slipway_core.signature import Signature

WARM_UP_ROWS = (1, 1, 64)

log = get_logger("slipway.loader")


class Loader:
    """Makes served models from registered versions, through the local cache."""

    def __init__(self, registry: Registry, cache: BundleCache) -> None:
        self._registry = registry
        self._cache = cache

    def load(self, version: ModelVersion) -> ServedModel:
        """Load a version that the registry named.

        Raises:
            BundleError: the bundle is damaged, incomplete, or does not do what was evaluated.
            RegistryError: it could not be fetched.
        """
        expected = version.tags.get(MANIFEST_TAG, "")
        if not is_digest(expected):
            raise BundleError(
                f"version {version.version} has no SHA-256 in its tag {MANIFEST_TAG}: "
                "it was not registered by Slipway's trainer"
            )
        known = LastServed(
            name=version.name,
            version=version.version,
            manifest_sha256=expected,
            run_id=version.run_id,
            description=version.description,
        )
        folder = self._cache.folder(version.name, version.version, expected)
        if folder.is_dir():
            try:
                return self._verified(folder, known, "registry")
            except BundleError as error:
                log.warning("cached_bundle_damaged", model=version.name, version=version.version, reason=str(error))
        self._fetch(version, folder)
        return self._verified(folder, known, "registry")

    def load_last_served(self, name: str) -> ServedModel | None:
        """Load what was served last from the cache alone; None if nothing is known.

        Raises:
            BundleError: what is in the cache is damaged.
        """
        known = self._cache.last_served(name)
        if known is None:
            return None
        return self._verified(self._cache.folder(known.name, known.version, known.manifest_sha256), known, "cache")

    def cached_names(self) -> list[str]:
        """Return the models of which the cache knows what was served last."""
        return self._cache.names()

    def remember(self, model: ServedModel) -> None:
        """Note in the cache that a model is served now. A cache that cannot be written is logged, not fatal."""
        try:
            self._cache.remember(
                LastServed(
                    name=model.name,
                    version=model.version,
                    manifest_sha256=model.manifest_sha256,
                    run_id=model.run_id,
                    description=model.description,
                )
            )
        except OSError as error:
            log.warning("bundle_cache_not_written", model=model.name, reason=error.strerror)

    def forget(self, name: str) -> None:
        """Note in the cache that a model is no longer served."""
        self._cache.forget(name)

    def _fetch(self, version: ModelVersion, folder: Path) -> None:
        try:
            with self._cache.adding(folder) as partial:
                for file in (MANIFEST_FILE, *SERVED_FILES):
                    self._registry.fetch(version, file, partial / file)
        except OSError as error:
            raise BundleError(
                f"the bundle cache cannot be written ({error.strerror}): check SLIPWAY_CACHE_DIR and its disk"
            ) from error

    def _verified(self, folder: Path, known: LastServed, source: Literal["registry", "cache"]) -> ServedModel:
        bundle = read_bundle(folder, known.manifest_sha256)
        manifest = bundle.manifest
        if manifest.name != known.name:
            raise BundleError(f"the bundle is of the model {manifest.name}, not of {known.name}")
        graph = Graph(bundle.model, manifest.graph)
        replay(graph, bundle.golden)
        row = np.array(bundle.golden.rows[:1], dtype=np.float32)
        for count in WARM_UP_ROWS:
            outputs = graph.run(np.repeat(row, count, axis=0))
        if manifest.classes is not None and (
            outputs.scores is None or outputs.scores.shape != (WARM_UP_ROWS[-1], len(manifest.classes))
        ):
            raise BundleError(f"the graph gives no probabilities for the manifest's {len(manifest.classes)} classes")
        return ServedModel(
            name=known.name,
            version=known.version,
            manifest=manifest,
            manifest_sha256=bundle.manifest_sha256,
            graph=graph,
            signature=Signature(manifest.inputs),
            run_id=known.run_id,
            description=known.description,
            loaded_at=datetime.now(UTC),
            source=source,
        )

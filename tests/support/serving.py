"""A model store with a registry in memory, a cache on disk, and a clock that the test sets."""

import os
import time
from pathlib import Path

from slipway_api.metrics import Metrics
from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.followed import MAX_CANDIDATES, Followed
from slipway_api.serving.loader import Loader
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.status import LoadFailure
from slipway_api.serving.trial import Candidate, Trial
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, digest
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.signing import TrustedKeys
from support.bundles import bundle_files
from support.clock import Clock


def no_trial(candidate: Candidate) -> None:
    """Skip the trial: a child process for each load would slow down unrelated tests."""


class Serving:
    """The serving state of one process, and the registry and cache that outlive it."""

    def __init__(self, cache: Path, models: tuple[str, ...] = ()) -> None:
        self.registry = InMemoryRegistry()
        self.cache = cache
        self.clock = Clock()
        self.load_wait_seconds = 30.0
        self.allow_unverified = False
        self.max_candidates = MAX_CANDIDATES
        self.trusted: TrustedKeys | None = None
        self.trial: Trial = no_trial
        self.start(models)

    def start(self, models: tuple[str, ...] = ()) -> None:
        """Start over, as a restarted process does."""
        self.metrics = Metrics()
        self.serving_metrics = ServingMetrics(self.metrics)
        self.bundle_cache = BundleCache(self.cache)
        self.store = ModelStore(
            self.registry,
            Loader(
                self.registry,
                self.bundle_cache,
                trial=self.trial,
                allow_unverified=self.allow_unverified,
                trusted=self.trusted,
            ),
            self.serving_metrics,
            Followed(models, "iris", self.max_candidates),
            clock=self.clock,
            load_wait_seconds=self.load_wait_seconds,
        )

    def restart(self, models: tuple[str, ...] = (), *, offline: bool = False) -> None:
        """Start over and check the registry once, which is unreachable from now on if `offline`."""
        if offline:
            self.registry.reachable = False
        self.start(models)
        self.sync()

    def sync(self, *, force: bool = False) -> None:
        self.store.sync(force=force)

    def served(self) -> dict[str, str]:
        """Return the served version of each model."""
        return {name: model.version for name, model in self.store.served.items()}

    def pinned(self) -> list[str]:
        """Return the served pinned versions, such as `iris@7`."""
        return sorted(str(ref) for ref in self.store.loaded if ref.is_pinned)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def failure(self, name: str = "iris", version: str | None = None) -> LoadFailure:
        """Return the failure of a model or a pinned version, which must exist."""
        failure = self.store.failure(name, version)
        assert failure is not None
        return failure

    def failures(self) -> float | None:
        """Return the number of failed attempts to load iris."""
        return self.sample("slipway_model_load_failures_total", model="iris")

    def mend(self, version: str, name: str = "iris") -> None:
        """Repair a registered version."""
        files = bundle_files(name)
        for file, content in files.items():
            self.registry.replace_file(name, version, file, content)
        self.registry.set_version_tag(name, version, MANIFEST_TAG, digest(files[MANIFEST_FILE]))


def age(path: Path, seconds: float) -> None:
    """Set the age of a file or folder in seconds."""
    then = time.time() - seconds
    os.utime(path, (then, then))

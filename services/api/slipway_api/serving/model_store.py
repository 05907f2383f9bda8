"""What is served, and how it follows the registry's Production aliases.

`sync` runs in a thread and swaps one reference per model; requests read that reference on the event loop and keep the
model they got until they are answered.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from slipway_api.errors import NotFoundError, NotReadyError
from slipway_api.metrics import Metrics
from slipway_api.serving.loader import Loader
from slipway_api.serving.served_model import ServedModel
from slipway_core.errors import BundleError, RegistryError
from slipway_core.logging import get_logger
from slipway_core.registry import PRODUCTION, RegisteredModel, Registry

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0

log = get_logger("slipway.models")


@dataclass(frozen=True)
class LoadFailure:
    """Why Production's version is not the one that is served.

    Attributes:
        version: the version that could not be loaded.
        at: when it was tried last, UTC.
        retry_at: when it is tried again, on the store's clock.
    """

    version: str
    reason: str
    at: datetime
    attempts: int
    retry_at: float


@dataclass(frozen=True)
class RegistryStatus:
    """Whether the registry answers.

    Attributes:
        answered: whether it has ever answered.
        since: when it began to be as it is, UTC.
        reason: why it does not answer; None if it does.
    """

    reachable: bool
    answered: bool
    since: datetime
    reason: str | None = None


class ModelStore:
    """The served models by name, and what keeps each from being Production's version."""

    def __init__(
        self,
        registry: Registry,
        loader: Loader,
        metrics: Metrics,
        *,
        models: tuple[str, ...],
        default_model: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._loader = loader
        self._metrics = metrics
        self._models = models
        self.default_model = default_model
        self._clock = clock
        self._lock = threading.Lock()
        self._served: dict[str, ServedModel] = {}
        self._failures: dict[str, LoadFailure] = {}
        self._aliases: dict[str, str | None] = {}
        self._damaged: dict[str, str] = {}
        self._loaded_from: dict[str, float] = {}
        self._registry_status = RegistryStatus(False, False, datetime.now(UTC), "the model registry was not asked yet")
        metrics.registry_up.set(0)

    @property
    def served(self) -> Mapping[str, ServedModel]:
        """The models that are served now, by name."""
        return self._served

    @property
    def registry_status(self) -> RegistryStatus:
        """Whether the registry answers."""
        return self._registry_status

    def failure(self, name: str) -> LoadFailure | None:
        """Return why Production's version of a model is not served, if it is not."""
        return self._failures.get(name)

    def production(self, name: str) -> str | None:
        """Return the version that Production pointed to when the registry last answered."""
        return self._aliases.get(name)

    def get(self, name: str) -> ServedModel:
        """Return the model that is served under a name.

        Raises:
            NotReadyError: it should be served and is not yet.
            NotFoundError: it is not served.
        """
        model = self._served.get(name)
        if model is not None:
            return model
        reason = self.why_missing(name)
        if name in self._failures or name in self._required or not self._registry_status.answered:
            raise NotReadyError(reason)
        raise NotFoundError(f"no model named {name} is served; GET /models lists those that are")

    def why_missing(self, name: str) -> str:
        """Return in a sentence why a model is not served."""
        failure, registry = self._failures.get(name), self._registry_status
        if failure is not None:
            return f"version {failure.version} of {name} cannot be loaded: {failure.reason}"
        if not registry.reachable:
            return f"{name} is not loaded yet: {registry.reason}"
        return f"{name} has no version with the alias {PRODUCTION} yet; train and promote one"

    def missing(self) -> list[str]:
        """Return the models that must be served before the service is ready, and are not."""
        return [name for name in self._required if name not in self._served]

    @property
    def _required(self) -> tuple[str, ...]:
        return self._models or (self.default_model,)

    def sync(self, *, force: bool = False) -> None:
        """Look at the registry once and follow it; what cannot be followed is kept as it is and told.

        Args:
            force: try a version again at once that failed to load a moment ago.
        """
        with self._lock:
            try:
                models = {model.name: model for model in self._registry.list_models()}
            except RegistryError as error:
                self._registry_failed(str(error))
                for name in self._models or self._loader.cached_names():
                    self._fall_back(name)
                return
            self._registry_answered()
            wanted = self._wanted(models)
            for name in wanted:
                self._follow(models[name], force=force)
            for name in [name for name in self._served if name not in models or not self._may_serve(name)]:
                self._unload(name)
            for name in [name for name in self._failures if name not in wanted]:
                self._clear_failure(name)

    def _may_serve(self, name: str) -> bool:
        return not self._models or name in self._models

    def _wanted(self, models: Mapping[str, RegisteredModel]) -> list[str]:
        return [
            name
            for name, model in models.items()
            if self._may_serve(name) and (PRODUCTION in model.aliases or name in self._served)
        ]

    def _follow(self, model: RegisteredModel, *, force: bool) -> None:
        name, wanted, served = model.name, model.aliases.get(PRODUCTION), self._served.get(model.name)
        before = self._aliases.get(name)
        self._aliases[name] = wanted
        self._metrics.model_alias_missing.labels(name).set(wanted is None)
        if wanted is None:
            if before is not None:
                log.warning("production_alias_missing", model=name, kept=served.version if served else None)
            self._clear_failure(name)
            return
        # A model that was deleted and made again counts its versions from 1 again, too.
        is_same = self._loaded_from.get(name) == model.created_at
        if served is not None and served.version == wanted and served.source == "registry" and is_same:
            self._clear_failure(name)
            return
        failure = self._failures.get(name)
        if failure and failure.version == wanted and self._clock() < failure.retry_at and not force:
            return
        try:
            version = self._registry.get_version(name, wanted)
            self._swap(self._loader.load(version))
            self._loaded_from[name] = model.created_at
        except (BundleError, RegistryError) as error:
            self._failed(name, wanted, str(error))
            self._fall_back(name)
        except Exception:  # whatever a bundle can do to us must stop neither this model nor the others
            log.exception("model_load_crashed", model=name, version=wanted)
            self._failed(name, wanted, "it cannot be loaded for a reason that we did not foresee; the log has more")
            self._fall_back(name)

    def _swap(self, model: ServedModel) -> None:
        before = self._served.get(model.name)
        self._served = {**self._served, model.name: model}
        self._clear_failure(model.name)
        if before is not None and before.version != model.version:
            self._metrics.forget(self._metrics.model_info, model.name, before.version)
        self._metrics.model_info.labels(model.name, model.version).set(1)
        self._metrics.model_loads.labels(model.name).inc()
        log.info(
            "model_loaded",
            model=model.name,
            version=model.version,
            replaced=before.version if before else None,
            source=model.source,
        )
        self._loader.remember(model)

    def _unload(self, name: str) -> None:
        model = self._served[name]
        self._served = {key: value for key, value in self._served.items() if key != name}
        self._aliases.pop(name, None)
        self._clear_failure(name)
        self._metrics.forget(self._metrics.model_info, name, model.version)
        self._metrics.model_alias_missing.labels(name).set(0)
        self._loader.forget(name)
        log.warning("model_unloaded", model=name, version=model.version, reason="it is no longer registered")

    def _fall_back(self, name: str) -> None:
        """Serve what was served last, from the cache, if nothing is served of a model."""
        if name in self._served:
            return
        try:
            model = self._loader.load_last_served(name)
        except BundleError as error:
            if self._damaged.get(name) != str(error):
                log.warning("cached_bundle_damaged", model=name, reason=str(error))
            self._damaged[name] = str(error)
            return
        if model is not None:
            failure = self._failures.get(name)
            self._swap(model)
            if failure is not None:
                self._record(name, failure)

    def _failed(self, name: str, version: str, reason: str) -> None:
        before = self._failures.get(name)
        attempts = before.attempts + 1 if before and before.version == version else 1
        pause = min(FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 10), LONGEST_RETRY_SECONDS)
        self._record(name, LoadFailure(version, reason, datetime.now(UTC), attempts, self._clock() + pause))
        self._metrics.model_load_failures.labels(name).inc()
        served = self._served.get(name)
        log.error(
            "model_load_failed",
            model=name,
            version=version,
            kept=served.version if served else None,
            reason=reason,
        )

    def _record(self, name: str, failure: LoadFailure) -> None:
        self._failures = {**self._failures, name: failure}
        self._metrics.model_load_failing.labels(name).set(1)

    def _clear_failure(self, name: str) -> None:
        self._failures = {key: value for key, value in self._failures.items() if key != name}
        self._metrics.model_load_failing.labels(name).set(0)

    def _registry_failed(self, reason: str) -> None:
        self._metrics.registry_up.set(0)
        self._metrics.registry_failures.inc()
        status = self._registry_status
        if status.reachable or status.reason != reason:
            log.warning("registry_unreachable", reason=reason)
            since = datetime.now(UTC) if status.reachable or status.reason is None else status.since
            self._registry_status = RegistryStatus(False, status.answered, since, reason)

    def _registry_answered(self) -> None:
        self._metrics.registry_up.set(1)
        if not self._registry_status.reachable:
            log.info("registry_reachable")
            self._registry_status = RegistryStatus(True, True, datetime.now(UTC))

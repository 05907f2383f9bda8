"""Load and keep the model of one reference: an alias, or a pinned version."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from slipway_api.serving.loader import Loader
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.status import LoadFailure
from slipway_api.serving.version_metrics import VersionMetrics
from slipway_core.bundle import MANIFEST_TAG
from slipway_core.errors import BundleError, NotRegisteredError, RegistryError, SignatureError
from slipway_core.logging import get_logger
from slipway_core.registry import ModelVersion, Registry

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0
# The registry's list lacks versions: check now and then whether a pinned version was deleted.
PINNED_LOOK_SECONDS = 30.0
# Trying a damaged bundle, or one that never ends, costs processor time.
CACHE_RETRY_SECONDS = 60.0

log = get_logger("slipway.models")


class Slot:
    """The served model of one reference. One thread at a time changes it; any thread may read it.

    Attributes:
        served: the current model, or None.
        failure: why the wanted version is not served, or None.
        refusal: why the alias Production is not followed, or None.
    """

    def __init__(
        self,
        ref: ModelRef,
        registry: Registry,
        loader: Loader,
        metrics: ServingMetrics,
        *,
        pins: frozenset[str],
        changed: Callable[[], None],
        loaded: Callable[[str, str], ServedModel | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve nothing yet.

        Args:
            ref: the reference to serve.
            registry: the registry of the model.
            loader: loads a version.
            metrics: counts loads and failures.
            pins: the model's versions that the settings pin; their bundles stay in the cache.
            changed: called after each change of the served model.
            loaded: returns a loaded model by its name and version, which another reference may serve.
            clock: seconds, for the pauses between attempts.
        """
        self.ref = ref
        self.served: ServedModel | None = None
        self.failure: LoadFailure | None = None
        self.refusal: LoadFailure | None = None
        self._registry = registry
        self._loader = loader
        self._metrics = metrics
        self._pins = pins
        self._changed = changed
        self._loaded = loaded
        self._clock = clock
        # Creation time of the registered model of `served`: a model of the same name may replace it.
        self._made_at: float | None = None
        self._is_cached = True
        self._is_untrusted = False
        self._damage: str | None = None
        self._look_at = 0.0
        self._fall_back_at = 0.0
        metrics.model_loads.labels(str(ref))
        metrics.model_load_failures.labels(str(ref))
        metrics.model_untrusted.labels(str(ref)).set(0)

    def is_due(self, version: str, made_at: float, *, force: bool, digest: str | None = None) -> bool:
        """Return whether `load` has something to do.

        Args:
            version: the version that should be served.
            made_at: the creation time of its registered model, seconds since the epoch.
            force: include a version that failed, or could not be cached, a moment ago.
            digest: the digest of the promoted bundle; None without trusted keys.
        """
        if self._serves(version, made_at, digest):
            if not self.ref.is_pinned:
                self.clear_failure()
            is_looked_at = self.ref.is_pinned and (force or self._clock() >= self._look_at)
            return is_looked_at or (force and not self._is_cached)
        failure = self.failure
        return force or failure is None or failure.version != version or self._clock() >= failure.retry_at

    def load(self, version: str, made_at: float, *, force: bool = False, digest: str | None = None) -> None:
        """Serve a version from now on; if it cannot be loaded, keep the served model and record the failure.

        Args:
            version: the version that should be served.
            made_at: the creation time of its registered model, seconds since the epoch.
            force: load a served version again if it is not in the cache.
            digest: the digest of the promoted bundle; None without trusted keys.
        """
        try:
            found = self._find(version, made_at)
            if found is None or self._is_served(found, made_at, force=force):
                return
            self._swap(self._loader.load(found, current=self._reusable(found), promoted_digest=digest))
            self._made_at = made_at
        except (BundleError, RegistryError) as error:
            self._failed(version, str(error), untrusted=isinstance(error, SignatureError))
            self.fall_back()
        except Exception:  # a faulty bundle must not stop this model or others
            log.exception("model_load_crashed", model=self.ref.name, version=version)
            self._failed(version, "unexpected error while loading it; see the API's log for the traceback")
            self.fall_back()

    def refuse(self, version: str, reason: str | None) -> None:
        """Record why the version with the alias is not followed; None if it is. The served model stays."""
        before = self.refusal
        if before is not None and before.reason == reason:
            return
        self.refusal = None if reason is None else LoadFailure(version, reason, datetime.now(UTC), 1, 0.0)
        self._show_state()
        if reason is not None:
            kept = self.served.version if self.served else None
            log.error("promotion_refused", model=self.ref.name, version=version, kept=kept, reason=reason)
        elif before is not None:
            log.info("promotion_accepted", model=self.ref.name, version=version)

    @property
    def may_fall_back(self) -> bool:
        """Whether nothing is served, and the cache was not found damaged a moment ago."""
        return self.served is None and self._clock() >= self._fall_back_at

    def fall_back(self) -> None:
        """Serve the last served version from the cache, if nothing is served."""
        if not self.may_fall_back:
            return
        try:
            model = self._loader.load_last_served(self.ref)
        except BundleError as error:
            if self._damage != str(error):
                name, reason = self.ref.name, str(error)
                if isinstance(error, SignatureError):
                    log.warning("cached_bundle_untrusted", model=name, reason=reason)
                else:
                    log.warning("cached_bundle_damaged", model=name, reason=reason)
            self._damage = str(error)
            self._fall_back_at = self._clock() + CACHE_RETRY_SECONDS
            return
        except Exception:  # as in `load`
            log.exception("model_load_crashed", model=self.ref.name, version=self.ref.version)
            return
        if model is not None:
            failure = self.failure
            self._swap(model)
            if failure is not None:
                self._record(failure)

    def unload(self, reason: str) -> None:
        """Stop serving the model."""
        model, self.served = self.served, None
        self.clear_failure()
        self._loader.forget(self.ref)
        self._metrics.model_not_cached.labels(str(self.ref)).set(0)
        if model is not None:
            self._changed()
            log.warning("model_unloaded", model=model.name, version=model.version, reason=reason)

    def clear_failure(self) -> None:
        """Clear the recorded failure."""
        self.failure, self._is_untrusted = None, False
        self._show_state()

    def has_failed(self, version: str) -> bool:
        """Return whether the last attempt to load a version failed."""
        return self.failure is not None and self.failure.version == version

    def _serves(self, version: str, made_at: float, digest: str | None = None) -> bool:
        model = self.served
        if model is not None and digest is not None and model.verified and model.manifest_sha256 != digest:
            return False
        # A recreated model numbers its versions from 1 again.
        return (
            model is not None and model.version == version and model.source == "registry" and self._made_at == made_at
        )

    def _find(self, version: str, made_at: float) -> ModelVersion | None:
        """Return the version from the registry; None if the served model stays."""
        name, is_pinned = self.ref.name, self.ref.is_pinned
        try:
            return self._registry.get_version(name, version)
        except NotRegisteredError:
            if not is_pinned:
                raise
            self.unload("that version is no longer registered")
            self._failed(version, f"{name} has no such version; remove {self.ref} from SLIPWAY_MODELS")
            return None
        except RegistryError:
            # Only a periodic check: the registry's state is reported elsewhere.
            if is_pinned and self._serves(version, made_at):
                return None
            raise

    def _reusable(self, found: ModelVersion) -> ServedModel | None:
        """Return the loaded model of a version; None to load it again, because it is not in the cache."""
        model = self.served
        if model is not None and model.version == found.version:
            return model if model.source == "cache" else None
        return self._loaded(found.name, found.version)

    def _is_served(self, found: ModelVersion, made_at: float, *, force: bool) -> bool:
        """Return whether the found version of a pinned reference is already served, and record the check."""
        self._look_at = self._clock() + PINNED_LOOK_SECONDS
        model = self.served
        expected = found.tags.get(MANIFEST_TAG)
        is_same = model is not None and expected == (model.manifest_sha256 if model.verified else None)
        if not (is_same and self._serves(found.version, made_at)) or (force and not self._is_cached):
            return False
        self.clear_failure()
        return True

    def _swap(self, model: ServedModel) -> None:
        if not self.ref.is_beside:  # versions beside Production change often: no series before their first prediction
            VersionMetrics(self._metrics, model)  # create its series at 0
        before, self.served = self.served, model
        self.clear_failure()
        if before is not None and before.graph is model.graph:  # the registry confirmed the cached version
            if before.signature_tag != model.signature_tag:  # signed again, maybe with the successor of an old key
                self._loader.remember(self.ref, model, self._pins)
            return
        self._changed()
        self._metrics.model_loads.labels(str(self.ref)).inc()
        log.info(
            "model_loaded",
            model=model.name,
            version=model.version,
            pinned=self.ref.is_pinned,
            replaced=before.version if before else None,
            source=model.source,
        )
        self._is_cached = self._loader.remember(self.ref, model, self._pins)
        self._metrics.model_not_cached.labels(str(self.ref)).set(not self._is_cached)

    def _failed(self, version: str, reason: str, *, untrusted: bool = False) -> None:
        before, now = self.failure, self._clock()
        self._is_untrusted = untrusted
        attempts = before.attempts + 1 if before and before.version == version else 1
        pause = min(FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 10), LONGEST_RETRY_SECONDS)
        self._record(LoadFailure(version, reason, datetime.now(UTC), attempts, now + pause))
        self._metrics.model_load_failures.labels(str(self.ref)).inc()
        if before is not None and (before.version, before.reason) == (version, reason):
            return  # logged at the first attempt
        log.error(
            "model_load_failed",
            model=self.ref.name,
            version=version,
            pinned=self.ref.is_pinned,
            kept=self.served.version if self.served else None,
            reason=reason,
        )

    def _record(self, failure: LoadFailure) -> None:
        self.failure = failure
        self._show_state()

    def _show_state(self) -> None:
        is_refused = self.refusal is not None
        self._metrics.model_load_failing.labels(str(self.ref)).set(is_refused or self.failure is not None)
        self._metrics.model_untrusted.labels(str(self.ref)).set(is_refused or self._is_untrusted)

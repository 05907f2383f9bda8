"""Keep the served models: the Production versions from the registry, and the versions pinned by the settings.

`sync` runs in a thread, and each load in its own thread; a load swaps one reference. A request reads that reference on
the event loop and uses the same model until its response.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from slipway_api.errors import NotFoundError, NotReadyError
from slipway_api.serving.explanations import why_missing, why_not_found
from slipway_api.serving.load_threads import LoadThreads
from slipway_api.serving.loader import Loader
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.presence import UNKNOWN_REGISTRY, Presence
from slipway_api.serving.registry_state import RegistryState
from slipway_api.serving.served_metrics import ServedMetrics
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.signed_history import SignedHistory, Target
from slipway_api.serving.slot import Slot
from slipway_api.serving.status import LoadFailure, RegistryStatus
from slipway_core.errors import RegistryError
from slipway_core.logging import get_logger
from slipway_core.registry import PRODUCTION, RegisteredModel, Registry
from slipway_core.registry.mistaken_promotions import mistaken_promotion

# How long a forced sync waits for the loads that it started; slower loads continue in the background.
LOAD_WAIT_SECONDS = 5.0
# An unforced sync waits this share of LOAD_WAIT_SECONDS, because at startup the accounts are read after it.
UNFORCED_SHARE = 0.2
SWEEP_SECONDS = 600.0

log = get_logger("slipway.models")


class ModelStore:
    """The served models by name and version, and the reasons why others are not served."""

    def __init__(
        self,
        registry: Registry,
        loader: Loader,
        metrics: ServingMetrics,
        *,
        models: tuple[str, ...],
        default_model: str,
        clock: Callable[[], float] = time.monotonic,
        load_wait_seconds: float = LOAD_WAIT_SECONDS,
    ) -> None:
        """Serve nothing yet.

        Args:
            registry: the registry to follow.
            loader: loads versions.
            metrics: counts syncs, loads and failures.
            models: the models to serve, each as `name` or `name@number`; if empty, every model with a Production alias.
            default_model: the required model if `models` is empty.
            clock: seconds, for the pauses between attempts.
            load_wait_seconds: how long a sync waits for the loads that it started.
        """
        self._registry = registry
        self._loader = loader
        self._metrics = metrics
        self._refs = tuple(ModelRef.parse(text) for text in models)
        self.default_model = default_model
        self._clock = clock
        self._load_wait_seconds = load_wait_seconds
        self._lock = threading.Lock()
        self._slots: dict[ModelRef, Slot] = {}  # replaced, never modified: any thread may iterate over it
        self._aliases: dict[str, str | None] = {}
        self._loads = LoadThreads()
        self._presence = Presence(registry, loader.cache)
        self._near_misses: dict[str, str] = {}
        self._history = SignedHistory(loader.trusted, loader.cache)
        self._sweep_at = clock()
        self._served_metrics = ServedMetrics(metrics)
        self._registry_state = RegistryState(metrics)

    @property
    def served(self) -> Mapping[str, ServedModel]:
        """The served models that follow the Production alias, by name."""
        return {model.name: model for model in self._served() if not model.pinned}

    @property
    def pinned(self) -> Sequence[ServedModel]:
        """The served pinned versions."""
        return [model for model in self._served() if model.pinned]

    @property
    def registry_status(self) -> RegistryStatus:
        """Whether the registry responds."""
        return self._registry_state.status

    def failure(self, name: str, version: str | None = None) -> LoadFailure | None:
        """Return why a model's Production version, or its given pinned version, failed to load; None if it did not."""
        slot = self._slots.get(ModelRef(name, version))
        return (slot.failure or slot.refusal) if slot else None

    def production(self, name: str) -> str | None:
        """Return the version that had the Production alias when the registry last responded."""
        return self._aliases.get(name)

    def is_named(self, name: str, version: str | None = None) -> bool:
        """Return whether the settings include a model, or the given pinned version of it."""
        ref = ModelRef(name, version)
        return ref in self._refs if self._refs else not ref.is_pinned

    def pins(self, name: str) -> frozenset[str]:
        """Return the versions of a model that the settings pin."""
        return frozenset(ref.version for ref in self._refs if ref.name == name and ref.version is not None)

    def get(self, name: str, version: str | None = None) -> ServedModel:
        """Return the served model of a name, or its given pinned version.

        Raises:
            NotReadyError: the model should be served and is not loaded.
            NotFoundError: the model is not served.
        """
        ref = ModelRef(name, version)
        slot = self._slots.get(ref)
        model = slot.served if slot else None
        if model is not None:
            return model
        if self.is_named(name, version) and (
            ref in self._required or self.failure(name, version) or not self.registry_status.answered
        ):
            raise NotReadyError(self.why_missing(name, version))
        raise NotFoundError(why_not_found(self, ref))

    def why_missing(self, name: str, version: str | None = None) -> str:
        """Explain in one sentence why a model, or its given pinned version, is not served."""
        return why_missing(self, ModelRef(name, version))

    def is_loading(self, ref: ModelRef) -> bool:
        """Return whether a model is being loaded."""
        return ref in self._loads.running()

    def near_miss(self, name: str) -> str | None:
        """Describe how a model without a Production alias was promoted incorrectly, with the right command; or None."""
        return self._near_misses.get(name)

    def missing(self) -> list[str]:
        """Return the required models that are not served, as `name` or `name@number`."""
        return [str(ref) for ref in self._missing()]

    def reasons_missing(self) -> dict[str, str]:
        """Return the reason for each entry of `missing`."""
        return {str(ref): self.why_missing(ref.name, ref.version) for ref in self._missing()}

    def sync(self, *, force: bool = False) -> None:
        """List the registry's models and start the loads and unloads that follow; a failure leaves a model as it is.

        Wait briefly for slow loads, then let them continue in the background.

        Args:
            force: retry failed versions at once, without their usual pause.
        """
        with self._lock:
            slow = self._loads.running()
            try:
                models = {model.name: model for model in self._registry.list_models()}
            except RegistryError as error:
                self._registry_state.failed(str(error))
                self._fall_back(self._known())
                self._await(slow, force=force)
                return
            is_start = not self.registry_status.answered
            accepted = self._accept(models, is_start=is_start)
            self._near_misses = {name: str(miss) for name, item in models.items() if (miss := mistaken_promotion(item))}
            wanted = self._wanted(models)
            self._follow_aliases(wanted, models)
            for ref in wanted:
                # In an unknown registry, a pinned number may mean another version.
                if accepted or not (ref.is_pinned and self._slot(ref).served):
                    self._begin_load(self._slot(ref), models[ref.name], force=force)
            if not accepted:
                self._fall_back([ref for ref in self._known() if ref not in wanted])
            self._await(slow, force=force)
            if accepted:
                self._unload_deleted(models, wanted, is_start=is_start)
            if self._clock() >= self._sweep_at:
                self._sweep_at = self._clock() + SWEEP_SECONDS
                self._loader.sweep()

    def _known(self) -> Sequence[ModelRef]:
        return self._refs or [ModelRef(name) for name in self._loader.cached_names()]

    def _accept(self, models: Mapping[str, RegisteredModel], *, is_start: bool) -> bool:
        if is_start:
            self._presence.start()
        accepted = self._presence.accepts(models, {model.name for model in self._served()})
        if accepted:
            self._registry_state.answered()
        else:
            self._registry_state.failed(UNKNOWN_REGISTRY)
        return accepted

    def _fall_back(self, refs: Sequence[ModelRef]) -> None:
        """Start to serve from the cache the models that are not served."""
        for ref in refs:
            slot = self._slot(ref)
            if slot.may_fall_back and not self.is_loading(ref):
                self._loads.start(ref, slot.fall_back)

    def _unload_deleted(
        self, models: Mapping[str, RegisteredModel], wanted: Sequence[ModelRef], *, is_start: bool
    ) -> None:
        """Unload each served model that is missing from the list, if the registry confirms its deletion."""
        running = self._loads.running()
        gone = [ref for ref in self._slots if ref not in wanted and ref not in running]
        cached = self._loader.cache.names(pinned=True) if is_start else []
        try:
            deleted = self._presence.deleted({*cached, *(ref.name for ref in gone)} - models.keys())
        except RegistryError as error:
            self._registry_state.failed(str(error))
            deleted = frozenset()
        for ref in gone:
            if ref.name in models or ref.name in deleted:
                self._drop(self._slots[ref])
        for name in deleted:
            self._loader.cache.forget_model(name)
        kept = {name for name in cached if name not in deleted and name not in models}
        self._fall_back([ref for ref in self._known() if ref.name in kept] if kept else [])

    @property
    def _required(self) -> tuple[ModelRef, ...]:
        return self._refs or (ModelRef(self.default_model),)

    def _missing(self) -> list[ModelRef]:
        served = {model.ref for model in self._served()}
        return [ref for ref in self._required if ref not in served]

    def _served(self) -> list[ServedModel]:
        return [slot.served for slot in self._slots.values() if slot.served is not None]

    def _slot(self, ref: ModelRef) -> Slot:
        if ref not in self._slots:
            pins, changed = self.pins(ref.name), self._publish_served
            slot = Slot(ref, self._registry, self._loader, self._metrics, pins=pins, changed=changed, clock=self._clock)
            self._slots = {**self._slots, ref: slot}
        return self._slots[ref]

    def _wanted(self, models: Mapping[str, RegisteredModel]) -> list[ModelRef]:
        served = {model.ref for model in self._served()}
        return [
            ref
            for ref in self._refs or map(ModelRef, models)
            if ref.name in models and (ref.is_pinned or ref in served or PRODUCTION in models[ref.name].aliases)
        ]

    def _follow_aliases(self, wanted: Sequence[ModelRef], models: Mapping[str, RegisteredModel]) -> None:
        before = self._aliases
        self._aliases = {ref.name: models[ref.name].aliases.get(PRODUCTION) for ref in wanted}
        for name in [ref.name for ref in wanted if not ref.is_pinned]:
            is_missing = self._aliases[name] is None
            self._metrics.model_alias_missing.labels(name).set(is_missing)
            if is_missing:
                slot = self._slot(ModelRef(name))
                if before.get(name) is not None:
                    log.warning("production_alias_missing", model=name, kept=slot.served and slot.served.version)
                slot.clear_failure()

    def _begin_load(self, slot: Slot, model: RegisteredModel, *, force: bool) -> None:
        target = Target(slot.ref.version) if slot.ref.is_pinned else self._history.target(model)
        version = target.version
        slot.refuse(self._aliases.get(model.name) or "", target.problem)
        if slot.ref in self._loads.running():
            return
        if version is None:
            self._fall_back([slot.ref] if target.problem else [])
        elif slot.is_due(version, model.created_at, force=force, digest=target.digest):
            self._loads.start(slot.ref, partial(self._load, slot, version, target.digest, model.created_at, force))

    def _load(self, slot: Slot, version: str, digest: str | None, made_at: float, force: bool) -> None:
        # A cached bundle opens fast: serve it while the new version is fetched and tried.
        slot.fall_back()
        with self._loads.turn(is_retry=slot.has_failed(version)):
            slot.load(version, made_at, force=force, digest=digest)

    def _await(self, slow: Collection[ModelRef], *, force: bool) -> None:
        seconds = self._load_wait_seconds if force else self._load_wait_seconds * UNFORCED_SHARE
        self._loads.wait([ref for ref in self._loads.running() if force or ref not in slow], seconds)

    def _drop(self, slot: Slot) -> None:
        slot.refusal = None
        if slot.served is not None:
            slot.unload("it is no longer registered")
        else:
            slot.clear_failure()
        if not slot.ref.is_pinned:
            self._metrics.model_alias_missing.labels(slot.ref.name).set(0)
        self._slots = {ref: one for ref, one in self._slots.items() if ref != slot.ref}

    def _publish_served(self) -> None:
        self._served_metrics.update(self._served, lambda: not self._missing())

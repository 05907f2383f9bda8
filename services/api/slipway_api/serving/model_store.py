"""Keep the served models: the versions of the registry's aliases, and the versions pinned by the settings.

`sync` runs in a thread, and each load in its own thread; a load swaps one reference. A request reads that reference on
the event loop and uses the same model until its response.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from slipway_api.errors import NotFoundError, NotReadyError
from slipway_api.serving.aliases import Aliases
from slipway_api.serving.explanations import why_missing, why_not_found
from slipway_api.serving.followed import Followed
from slipway_api.serving.load_threads import LoadThreads
from slipway_api.serving.loader import Loader
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.presence import UNKNOWN_REGISTRY, Presence
from slipway_api.serving.registry_state import RegistryState
from slipway_api.serving.served_metrics import ServedMetrics
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.signed_history import SignedHistory
from slipway_api.serving.slot import Slot
from slipway_api.serving.status import LoadFailure, RegistryStatus
from slipway_core.errors import RegistryError
from slipway_core.logging import get_logger
from slipway_core.registry import PRODUCTION, RegisteredModel, Registry

# How long a forced sync waits for the loads that it started; slower loads continue in the background.
LOAD_WAIT_SECONDS = 5.0
# An unforced sync waits this share of LOAD_WAIT_SECONDS, because at startup the accounts are read after it.
UNFORCED_SHARE = 0.2
SWEEP_SECONDS = 600.0

log = get_logger("slipway.models")


class ModelStore:
    """The served models by name and version, and the reasons why others are not served.

    Attributes:
        followed: the references to serve.
        aliases: the aliases in the registry when it last responded.
    """

    def __init__(
        self,
        registry: Registry,
        loader: Loader,
        metrics: ServingMetrics,
        followed: Followed,
        *,
        clock: Callable[[], float] = time.monotonic,
        load_wait_seconds: float = LOAD_WAIT_SECONDS,
    ) -> None:
        """Serve nothing yet.

        Args:
            registry: the registry to follow.
            loader: loads versions.
            metrics: counts syncs, loads and failures.
            followed: the references to serve.
            clock: seconds, for the pauses between attempts.
            load_wait_seconds: how long a sync waits for the loads that it started.
        """
        self._registry = registry
        self._loader = loader
        self._metrics = metrics
        self.followed = followed
        self.default_model = followed.default_model
        self._clock = clock
        self._load_wait_seconds = load_wait_seconds
        self._lock = threading.Lock()
        self._slots: dict[ModelRef, Slot] = {}  # replaced, never modified: any thread may iterate over it
        self.aliases = Aliases(metrics)
        self._loads = LoadThreads()
        self._presence = Presence(registry, loader.cache)
        self._history = SignedHistory(loader.trusted, loader.cache, allow_unverified=loader.allow_unverified)
        self._sweep_at = clock()
        self._served_metrics = ServedMetrics(metrics)
        self._registry_state = RegistryState(metrics)

    @property
    def loaded(self) -> Mapping[ModelRef, ServedModel]:
        """The served models by their references."""
        return {ref: model for ref, slot in self._slots.items() if (model := slot.served) is not None}

    @property
    def served(self) -> Mapping[str, ServedModel]:
        """The served models that follow the Production alias, by name."""
        return {ref.name: model for ref, model in self.loaded.items() if ref.is_production}

    @property
    def registry_status(self) -> RegistryStatus:
        """Whether the registry responds."""
        return self._registry_state.status

    def failure(self, name: str, version: str | None = None, alias: str = PRODUCTION) -> LoadFailure | None:
        """Return why the version of a reference failed to load, or is not followed; None if it is served."""
        slot = self._slots.get(ModelRef(name, version, alias))
        return (slot.failure or slot.refusal) if slot else None

    def production(self, name: str) -> str | None:
        """Return the version that had the Production alias when the registry last responded."""
        return self.aliases.of(name).get(PRODUCTION)

    def get(self, name: str, version: str | None = None, alias: str = PRODUCTION) -> ServedModel:
        """Return the served model of an alias, or of a pinned version.

        Raises:
            NotReadyError: the model should be served and is not loaded.
            NotFoundError: the model is not served.
        """
        ref = ModelRef(name, version, alias)
        slot = self._slots.get(ref)
        model = slot.served if slot else None
        if model is not None:
            return model
        if self.followed.includes(ref) and (
            ref in self.followed.required
            or self.failure(*ref)
            or not self.registry_status.answered
            or (slot is not None and not ref.is_production)  # its alias is set, and it loads after Production
        ):
            raise NotReadyError(why_missing(self, ref))
        raise NotFoundError(why_not_found(self, ref))

    def why_missing(self, name: str, version: str | None = None, alias: str = PRODUCTION) -> str:
        """Explain in one sentence why the version of a reference is not served."""
        return why_missing(self, ModelRef(name, version, alias))

    def is_loading(self, ref: ModelRef) -> bool:
        """Return whether a model is being loaded."""
        return ref in self._loads.running()

    def follows(self, ref: ModelRef) -> bool:
        """Return whether a reference is served, or to be served."""
        return ref in self._slots

    def missing(self) -> list[str]:
        """Return the required models that are not served, as `name` or `name@number`."""
        return [str(ref) for ref in self._missing()]

    def reasons_missing(self) -> dict[str, str]:
        """Return the reason for each entry of `missing`."""
        return {str(ref): why_missing(self, ref) for ref in self._missing()}

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
                self._fall_back(self._cached())
                self._await(slow, force=force)
                return
            is_start = not self.registry_status.answered
            accepted = self._accept(models, is_start=is_start)
            wanted = self.followed.main(models, self.loaded)
            for ref in self.aliases.update(models, wanted, self.loaded):
                self._slot(ref).clear_failure()
            for ref in wanted:
                # In an unknown registry, a pinned number may mean another version.
                if accepted or not (ref.is_pinned and self._slot(ref).served):
                    self._begin_load(self._slot(ref), models[ref.name], force=force)
            if not accepted:
                self._fall_back([ref for ref in self._cached() if ref not in wanted])
            self._await(slow, force=force)
            if accepted:
                beside = self.followed.beside(models.values())
                self._load_beside(beside, models, force=force)
                self._unload_deleted(models, [*wanted, *beside], is_start=is_start)
            if self._clock() >= self._sweep_at:
                self._sweep_at = self._clock() + SWEEP_SECONDS
                self._loader.sweep()

    def _cached(self) -> Sequence[ModelRef]:
        return self.followed.cached(self._loader.cache.refs())

    def _accept(self, models: Mapping[str, RegisteredModel], *, is_start: bool) -> bool:
        if is_start:
            self._presence.start()
        accepted = self._presence.accepts(models, {ref.name for ref in self.loaded})
        if accepted:
            self._registry_state.answered()
        else:
            self._registry_state.failed(UNKNOWN_REGISTRY)
        return accepted

    def _fall_back(self, refs: Sequence[ModelRef]) -> None:
        """Start to serve from the cache the models that are not served."""
        before = self._loads.running()
        for are_beside in (False, True):
            for ref in [ref for ref in refs if ref.is_beside == are_beside and self._slot(ref).may_fall_back]:
                if not (self.is_loading(ref) or (are_beside and self._is_starting())):
                    self._loads.start(ref, self._slot(ref).fall_back)
            self._await(before, force=False)

    def _load_beside(self, refs: Sequence[ModelRef], models: Mapping[str, RegisteredModel], *, force: bool) -> None:
        """Load Staging and the candidates."""
        slots = [self._slot(ref) for ref in refs]
        before = self._loads.running()
        if self._is_starting():
            return
        for slot in slots:
            self._begin_load(slot, models[slot.ref.name], force=force)
        self._await(before, force=force)

    def _is_starting(self) -> bool:
        """Return whether a Production or pinned version is loaded for the first time: those beside it load later."""
        return any(not ref.is_beside and self._slot(ref).served is None for ref in self._loads.running())

    def _unload_deleted(
        self, models: Mapping[str, RegisteredModel], wanted: Sequence[ModelRef], *, is_start: bool
    ) -> None:
        """Unload each served model that is missing from the list, if the registry confirms its deletion."""
        running = self._loads.running()
        gone = [ref for ref in self._slots if ref not in wanted and ref not in running]
        cached = self._loader.cache.refs() if is_start else []
        try:
            deleted = self._presence.deleted({ref.name for ref in [*cached, *gone]} - models.keys())
        except RegistryError as error:
            self._registry_state.failed(str(error))
            deleted = frozenset()
        for ref in gone:
            if ref.name in models or ref.name in deleted:
                is_moved = ref.is_beside and ref.name in models
                why = f"its alias {ref.alias} is no longer followed" if is_moved else "it is no longer registered"
                self._drop(self._slots[ref], why)
        for name in deleted:
            self._loader.cache.forget_model(name)
        for ref in cached:
            if ref.is_beside and ref.name in models and ref not in wanted:
                self._loader.forget(ref)
        kept = {ref.name for ref in cached if ref.name not in deleted and ref.name not in models}
        self._fall_back([ref for ref in self._cached() if ref.name in kept] if kept else [])

    def _missing(self) -> list[ModelRef]:
        return [ref for ref in self.followed.required if ref not in self.loaded]

    def _loaded_version(self, name: str, version: str) -> ServedModel | None:
        return next((one for one in self.loaded.values() if (one.name, one.version) == (name, version)), None)

    def _slot(self, ref: ModelRef) -> Slot:
        if ref not in self._slots:
            slot = Slot(
                ref,
                self._registry,
                self._loader,
                self._metrics,
                pins=self.followed.pins(ref.name),
                changed=self._publish_served,
                loaded=self._loaded_version,
                clock=self._clock,
            )
            self._slots = {**self._slots, ref: slot}
        return self._slots[ref]

    def _begin_load(self, slot: Slot, model: RegisteredModel, *, force: bool) -> None:
        version = (target := self._history.target(model, slot.ref)).version
        slot.refuse(model.aliases.get(slot.ref.alias, ""), target.problem)
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

    def _drop(self, slot: Slot, reason: str) -> None:
        slot.refusal = None
        if slot.served is not None:
            slot.unload(reason)
        else:
            slot.clear_failure()
        if slot.ref.is_production:
            self._metrics.model_alias_missing.labels(slot.ref.name).set(0)
        self._slots = {ref: one for ref, one in self._slots.items() if ref != slot.ref}

    def _publish_served(self) -> None:
        self._served_metrics.update(lambda: list(self.loaded.values()), lambda: not self._missing())

"""Which models were deleted, and which only seem so: the rule is in docs/decisions/0012-when-a-model-is-unloaded.md."""

from collections.abc import Collection, Mapping

from slipway_api.serving.bundle_cache import BundleCache
from slipway_core.errors import NotRegisteredError
from slipway_core.registry import RegisteredModel, Registry

UNKNOWN_REGISTRY = (
    "the model registry holds none of the models that were registered before, so nothing is unloaded: check "
    "MLFLOW_TRACKING_URI and MLflow's database; if all of them were deleted, empty SLIPWAY_CACHE_DIR and restart"
)


class Presence:
    """Remembers what the registry held, and asks it about what its list lacks."""

    def __init__(self, registry: Registry, cache: BundleCache) -> None:
        """Remember nothing yet.

        Args:
            registry: what to ask.
            cache: where the last list is kept.
        """
        self._registry = registry
        self._cache = cache
        # What an earlier process served, until the first list that is accepted.
        self._cached: frozenset[str] = frozenset()
        self._started = False
        # From name to time of creation; None where only the cache knows the name.
        self._seen: dict[str, float | None] = {}

    def start(self) -> None:
        """Read once what an earlier process saw."""
        if not self._started:
            self._started = True
            self._cached = frozenset(self._cache.names(pinned=True))
            self._seen = {**self._cache.registered()} or dict.fromkeys(self._cached)

    def accepts(self, models: Mapping[str, RegisteredModel], served: Collection[str]) -> bool:
        """Return whether a list comes from the registry that was read before; remember it if so.

        A registry that came back on an empty or another database lacks what is served, and has no model in common
        with the list before. One that lost all of several served models lost more than an operator deletes at once.

        Args:
            models: the list, by name.
            served: the models that are served.
        """
        if (self._cached | set(served)) - models.keys():
            if not any(self._was_seen(model) for model in models.values()):
                return False
            if len(served) > 1 and models.keys().isdisjoint(served):
                return False
        self._cached = frozenset()
        seen: dict[str, float | None] = {name: model.created_at for name, model in models.items()}
        if seen != self._seen:
            self._seen = seen
            self._cache.remember_registered({name: model.created_at for name, model in models.items()})
        return True

    def deleted(self, names: Collection[str]) -> frozenset[str]:
        """Return which models do not exist, as the registry itself answers for each name.

        Raises:
            RegistryError: it does not answer.
        """
        return frozenset(name for name in names if self._is_deleted(name))

    def _is_deleted(self, name: str) -> bool:
        try:
            self._registry.get_model(name)
        except NotRegisteredError:
            return True
        return False

    def _was_seen(self, model: RegisteredModel) -> bool:
        return model.name in self._seen and self._seen[model.name] in {None, model.created_at}

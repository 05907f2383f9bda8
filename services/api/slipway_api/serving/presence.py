"""Tell deleted models from a lost registry; docs/decisions/0012-when-a-model-is-unloaded.md explains the rule."""

from collections.abc import Collection, Mapping

from slipway_api.serving.bundle_cache import BundleCache
from slipway_core.errors import NotRegisteredError
from slipway_core.registry import RegisteredModel, Registry

UNKNOWN_REGISTRY = (
    "the model registry holds none of the models that were registered before, so nothing is unloaded: check "
    "MLFLOW_TRACKING_URI and MLflow's database; if all of them were deleted, empty SLIPWAY_CACHE_DIR and restart"
)


class Presence:
    """Remember which models the registry held, and check which of those missing from its list were deleted."""

    def __init__(self, registry: Registry, cache: BundleCache) -> None:
        """Remember nothing yet.

        Args:
            registry: the registry to query.
            cache: stores the last accepted list.
        """
        self._registry = registry
        self._cache = cache
        # The models that an earlier process served; empty after the first accepted list.
        self._cached: frozenset[str] = frozenset()
        self._started = False
        # Creation time by name; None if the cache holds only the name.
        self._seen: dict[str, float | None] = {}

    def start(self) -> None:
        """Load once what an earlier process remembered."""
        if not self._started:
            self._started = True
            self._cached = frozenset(ref.name for ref in self._cache.refs())
            self._seen = {**self._cache.registered()} or dict.fromkeys(self._cached)

    def accepts(self, models: Mapping[str, RegisteredModel], served: Collection[str]) -> bool:
        """Return whether a list comes from the same registry as the last one, and remember the list if so.

        A registry restarted on an empty or another database lacks served models and shares no model with the last list.
        A list without any of several served models is rejected, too: an operator rarely deletes all of them at once.

        Args:
            models: the list, by name.
            served: the names of the served models.
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
        """Return which of these models the registry reports as deleted, with one request per name.

        Raises:
            RegistryError: the registry does not respond.
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

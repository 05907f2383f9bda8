"""Which models were deleted, and which only seem so: the rule is in docs/decisions/0012-when-a-model-is-unloaded.md."""

from collections.abc import Collection, Mapping

from slipway_core.errors import NotRegisteredError, RegistryNotFoundError
from slipway_core.registry import RegisteredModel, Registry

UNKNOWN_REGISTRY = (
    "the model registry holds none of the models that were registered before, so nothing is unloaded: check "
    "MLFLOW_TRACKING_URI and MLflow's database; if all of them were deleted, empty SLIPWAY_CACHE_DIR and restart"
)


class Presence:
    """Remembers what the registry held, and asks it about what its list lacks."""

    def __init__(self, registry: Registry) -> None:
        """Remember nothing yet.

        Args:
            registry: what to ask.
        """
        self._registry = registry
        # From name to time of creation; None where only the cache knows the name.
        self._seen: dict[str, float | None] = {}

    def expect(self, names: Collection[str]) -> None:
        """Take models for registered that the cache knows from before the start."""
        self._seen = dict.fromkeys(names, None) | self._seen

    def accepts(self, models: Mapping[str, RegisteredModel], served: Collection[str]) -> bool:
        """Return whether a list comes from the registry that was read before; remember it if so.

        A registry that came back on an empty or another database has no model in common with the list before, and
        one that lost several served models at once lost more than an operator deletes between two looks.
        """
        if self._seen and not any(self._was_seen(model) for model in models.values()):
            return False
        if len(served) > 1 and models.keys().isdisjoint(served):
            return False
        self._seen = {name: model.created_at for name, model in models.items()}
        return True

    def is_deleted(self, name: str) -> bool:
        """Return whether the registry itself answers that a model does not exist.

        Raises:
            RegistryError: it does not answer.
        """
        try:
            self._registry.get_model(name)
        except NotRegisteredError:
            return True
        except RegistryNotFoundError:  # a proxy's answer
            return False
        return False

    def _was_seen(self, model: RegisteredModel) -> bool:
        return model.name in self._seen and self._seen[model.name] in {None, model.created_at}

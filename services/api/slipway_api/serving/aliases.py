"""What the aliases of the registry's models pointed to when it last responded."""

from collections.abc import Mapping, Sequence

from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.served_model import ServedModel
from slipway_core.logging import get_logger
from slipway_core.registry import PRODUCTION, RegisteredModel
from slipway_core.registry.mistaken_promotions import mistaken_promotion

log = get_logger("slipway.models")


class Aliases:
    """The aliases of the registered models, and the models that were promoted by mistake."""

    def __init__(self, metrics: ServingMetrics) -> None:
        """Know nothing yet.

        Args:
            metrics: shows the served models without the alias Production.
        """
        self._metrics = metrics
        self._aliases: dict[str, Mapping[str, str]] = {}
        self._near_misses: dict[str, str] = {}

    def of(self, name: str) -> Mapping[str, str]:
        """Return the version of each alias of a model; empty if it is not registered."""
        return self._aliases.get(name, {})

    def is_registered(self, name: str) -> bool:
        """Return whether the registry has a model of that name."""
        return name in self._aliases

    def near_miss(self, name: str) -> str | None:
        """Describe how a model without a Production alias was promoted incorrectly, with the right command; or None."""
        return self._near_misses.get(name)

    def update(
        self,
        models: Mapping[str, RegisteredModel],
        wanted: Sequence[ModelRef],
        loaded: Mapping[ModelRef, ServedModel],
    ) -> list[ModelRef]:
        """Store the registry's list.

        Args:
            models: the list, by name.
            wanted: the pinned and Production references to serve.
            loaded: the served models.

        Returns:
            The Production references whose alias is missing.
        """
        before = self._aliases
        self._aliases = {name: model.aliases for name, model in models.items()}
        self._near_misses = {name: str(miss) for name, item in models.items() if (miss := mistaken_promotion(item))}
        followed = [ref for ref in wanted if ref.is_production]
        missing = [ref for ref in followed if PRODUCTION not in self._aliases[ref.name]]
        for ref in followed:
            self._metrics.model_alias_missing.labels(ref.name).set(ref in missing)
        for ref in missing:
            if PRODUCTION in before.get(ref.name, {}):
                model = loaded.get(ref)
                log.warning("production_alias_missing", model=ref.name, kept=model and model.version)
        return missing

"""Moving the alias Production: the alias is set first, the event written after."""

from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from slipway_core.registry.base import PRODUCTION, ModelVersion, Registry
from slipway_core.registry.events import PromotionEvent, next_key

METRICS_TAG = "slipway.metrics"
DATA_VERSION_TAG = "slipway.data_version"


def promote(registry: Registry, name: str, version: str, *, by: str, at: datetime, reason: str) -> PromotionEvent:
    """Point Production at a version and add the event to the model's history.

    Promoting the version that Production points to already is allowed and told in the history, too.

    Raises:
        RegistryError: there is no such model or version, or the registry failed.
    """
    chosen = registry.get_version(name, version)
    model = registry.get_model(name)
    event = PromotionEvent(
        action="promote",
        version=chosen.version,
        from_version=model.aliases.get(PRODUCTION),
        by=by,
        at=at,
        reason=reason,
        metrics=metrics_of(chosen),
        data_version=chosen.tags.get(DATA_VERSION_TAG),
    )
    registry.set_alias(name, PRODUCTION, chosen.version)
    registry.set_model_tag(name, next_key(model.tags), event.to_tag())
    return event


def metrics_of(version: ModelVersion) -> dict[str, float]:
    """Return the metrics of a version's tag; none where somebody wrote something else into it."""
    try:
        return TypeAdapter(dict[str, float]).validate_json(version.tags.get(METRICS_TAG, "{}"))
    except ValidationError:
        return {}

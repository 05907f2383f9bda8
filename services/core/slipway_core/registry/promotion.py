"""Moving the alias Production: the alias is set first, the event written after."""

import json
from datetime import datetime

from slipway_core.registry.base import PRODUCTION, Registry
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
        metrics=json.loads(chosen.tags.get(METRICS_TAG, "{}")),
        data_version=chosen.tags.get(DATA_VERSION_TAG),
    )
    registry.set_alias(name, PRODUCTION, chosen.version)
    registry.set_model_tag(name, next_key(model.tags), event.to_tag())
    return event

"""Moving the alias Production: the alias is set first, the event written after."""

import json
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from slipway_core.errors import NothingToRestoreError, RegistryNotFoundError
from slipway_core.registry.base import PRODUCTION, ModelVersion, Registry
from slipway_core.registry.events import Action, PromotionEvent, next_key
from slipway_core.registry.trail import held_before, moves

METRICS_TAG = "slipway.metrics"
DATA_VERSION_TAG = "slipway.data_version"
MODEL_DIGEST_TAG = "slipway.model_sha256"
WITHDRAWN_TAG = "slipway.withdrawn"


def promote(registry: Registry, name: str, version: str, *, by: str, at: datetime, reason: str) -> PromotionEvent:
    """Point Production at a version and add the event to the model's history.

    Promoting the version that Production points to already is allowed and told in the history, too.

    Raises:
        RegistryError: there is no such model or version, or the registry failed.
    """
    chosen = registry.get_version(name, version)
    return _move(registry, "promote", chosen, by=by, at=at, reason=reason)


def rollback(registry: Registry, name: str, *, by: str, at: datetime, reason: str) -> PromotionEvent:
    """Point Production at the version that it held before the current one, and withdraw the current one.

    Done again, it goes further back. A version that was deleted since is passed over. The withdrawn version carries
    the tag `slipway.withdrawn`: it is not promoted automatically again.

    Raises:
        NothingToRestoreError: Production is not set, or held no other version that still exists.
        RegistryError: there is no such model, or the registry failed.
    """
    model = registry.get_model(name)
    withdrawn = model.aliases.get(PRODUCTION)
    if withdrawn is None:
        raise NothingToRestoreError(
            f"{name} has no Production version to roll back from; promote one: slipway models promote {name} VERSION"
        )
    restored = next(filter(None, (_existing(registry, name, v) for v in held_before(moves(model)))), None)
    if restored is None:
        raise NothingToRestoreError(
            f"version {withdrawn} is the first that Production of {name} held, so there is none to go back to; "
            f"promote another by hand: slipway models promote {name} VERSION"
        )
    event = _move(registry, "rollback", restored, by=by, at=at, reason=reason)
    note = json.dumps({"by": by, "at": event.model_dump(mode="json")["at"], "reason": reason})
    if _existing(registry, name, withdrawn) is not None:
        registry.set_version_tag(name, withdrawn, WITHDRAWN_TAG, note)
    return event


def metrics_of(version: ModelVersion) -> dict[str, float]:
    """Return the metrics of a version's tag; none where somebody wrote something else into it."""
    try:
        return TypeAdapter(dict[str, float]).validate_json(version.tags.get(METRICS_TAG, "{}"))
    except ValidationError:
        return {}


def is_withdrawn(version: ModelVersion) -> bool:
    """Tell whether a version was rolled back from."""
    return WITHDRAWN_TAG in version.tags


def _existing(registry: Registry, name: str, version: str) -> ModelVersion | None:
    try:
        return registry.get_version(name, version)
    except RegistryNotFoundError:
        return None


def _move(
    registry: Registry, action: Action, version: ModelVersion, *, by: str, at: datetime, reason: str
) -> PromotionEvent:
    model = registry.get_model(version.name)
    event = PromotionEvent(
        action=action,
        version=version.version,
        from_version=model.aliases.get(PRODUCTION),
        by=by,
        at=at,
        reason=reason,
        metrics=metrics_of(version),
        data_version=version.tags.get(DATA_VERSION_TAG),
    )
    registry.set_alias(version.name, PRODUCTION, version.version)
    registry.set_model_tag(version.name, next_key(model.tags), event.to_tag())
    return event

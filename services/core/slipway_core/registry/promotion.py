"""Move the alias Production, then add the event to the model's history."""

import contextlib
import json
from datetime import UTC, datetime
from enum import Enum
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from slipway_core.errors import (
    ConfigurationError,
    NothingToRestoreError,
    ProductionMovedError,
    RegistryNotFoundError,
    SignatureError,
)
from slipway_core.registry.alias_history import held_before, moves
from slipway_core.registry.base import PRODUCTION, ModelVersion, RegisteredModel, Registry
from slipway_core.registry.event_log import add_event
from slipway_core.registry.events import Action, PromotionEvent
from slipway_core.registry.signatures import (
    checked_events,
    has_signed_history,
    how_to_sign,
    newest_event,
    signed_digest,
    with_accepted_events,
)
from slipway_core.registry.withdrawals import GRAPH_KEPT, WITHDRAWN_TAG, graph_of, is_withdrawn, withdrawals
from slipway_core.signing import Signer, TrustedKeys
from slipway_core.signing.messages import SIGNATURE_TAG, VersionSignature

METRICS_TAG = "slipway.metrics"
DATA_VERSION_TAG = "slipway.data_version"

# MLflow on PostgreSQL stores at most 5,000 characters per tag.
MAX_REASON = 1_000


class _Any(Enum):
    ANY = "any"


def promote(
    registry: Registry,
    name: str,
    version: str,
    *,
    by: str,
    at: datetime,
    reason: str,
    expected: str | Literal[_Any.ANY] | None = _Any.ANY,
    signer: Signer | None = None,
    trusted: TrustedKeys | None = None,
) -> PromotionEvent:
    """Point Production at a version and add the event to the model's history.

    Promoting the current Production version again is allowed and adds an event, too. Promoting a withdrawn version
    lifts its withdrawal, and that of the versions with the same graph; the event's reason names them.

    Args:
        registry: holds the model.
        name: the model's name.
        version: the version to promote.
        by: who promotes.
        at: when.
        reason: the reason; a long one is truncated.
        expected: the version that Production must still point to; None if it must not be set. Defaults to any version.
        signer: signs the event. Required if the model's history is signed.
        trusted: verify the version with these keys before the move.

    Raises:
        SignatureError: with a signer, the version is not signed, or not by one of the trusted keys.
        ConfigurationError: the model's history is signed, and `signer` is missing.
        ProductionMovedError: Production points to another version than `expected`.
        HistoryNotWrittenError: Production was moved, but the event could not be added.
        RegistryError: the model or version does not exist, or the registry failed.
    """
    chosen = registry.get_version(name, version)
    digest = _digest_to_sign(registry.get_model(name), chosen, signer, trusted)
    if expected is not _Any.ANY and (found := registry.get_model(name).aliases.get(PRODUCTION)) != expected:
        raise ProductionMovedError(
            f"Production of {name} changed in the meantime to {f'version {found}' if found else 'no version'}; "
            f"train again, or promote version {version} by hand: slipway models promote {name} {version}"
        )
    # Before the move: if the move fails, repeating the command has the same result.
    if lifted := [withdrawn.version for withdrawn in withdrawals(registry, chosen)]:
        for number in lifted:
            with contextlib.suppress(RegistryNotFoundError):  # another promotion lifted it at the same time
                registry.delete_version_tag(name, number, WITHDRAWN_TAG)
        plural = "s" if len(lifted) > 1 else ""
        reason = f"{_cut(reason, MAX_REASON // 2)}; lifts the withdrawal of version{plural} {', '.join(lifted)}"
    return _move(registry, "promote", chosen, by=by, at=at, reason=reason, signer=signer, digest=digest)


def rollback(
    registry: Registry,
    name: str,
    *,
    by: str,
    at: datetime,
    reason: str,
    expected: str | Literal[_Any.ANY] = _Any.ANY,
    signer: Signer | None = None,
    trusted: TrustedKeys | None = None,
) -> PromotionEvent:
    """Point Production at the version that it held before the current one, and withdraw the current one.

    Repeat to go further back. Deleted and withdrawn versions are skipped. The withdrawn version gets the tag
    `slipway.withdrawn`, which prevents its automatic promotion. With trusted keys, only signed events count as history.

    Args:
        registry: holds the model.
        name: the model's name.
        by: who rolls back.
        at: when.
        reason: the reason; a long one is truncated.
        expected: the version that Production must still point to. Defaults to any version.
        signer: signs the event. Required if the model's history is signed.
        trusted: only events signed with these keys count as history.

    Raises:
        ProductionMovedError: Production points to another version than `expected`.
        SignatureError, ConfigurationError: as in `promote`.
        NothingToRestoreError: Production is not set, or it has no earlier version that exists and is not withdrawn.
        HistoryNotWrittenError: Production was moved, but the event could not be added.
        RegistryError: the model does not exist, or the registry failed.
    """
    model = registry.get_model(name)
    withdrawn = model.aliases.get(PRODUCTION)
    if withdrawn is None:
        raise NothingToRestoreError(
            f"{name} has no Production version to roll back from; promote one: slipway models promote {name} VERSION"
        )
    if expected is not _Any.ANY and withdrawn != expected:
        raise ProductionMovedError(
            f"Production of {name} is version {withdrawn}, not version {expected}, so it was not rolled back: see "
            f"`slipway models history {name}`"
        )
    restored = _restorable(registry, model, withdrawn, trusted)
    digest = _digest_to_sign(model, restored, signer, trusted)
    # First: if a later step fails, repeating the command has the same result, and this version stays withdrawn.
    if (current := _existing(registry, name, withdrawn)) is not None:
        note = {"by": by, "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"), "reason": reason[:MAX_REASON]}
        if graph_of(current) is not None and graph_of(current) == graph_of(restored):
            note[GRAPH_KEPT] = restored.version
        registry.set_version_tag(name, withdrawn, WITHDRAWN_TAG, json.dumps(note))
    return _move(registry, "rollback", restored, by=by, at=at, reason=reason, signer=signer, digest=digest)


def require_signer(model: RegisteredModel, signer: Signer | None) -> None:
    """Raise ConfigurationError if a model's history is signed, and `signer` is missing."""
    if signer is None and has_signed_history(model):
        raise ConfigurationError(
            f"the history of {model.name} is signed, and an API that trusts only signed promotions ignores others: set "
            "SLIPWAY_SIGNING_KEY_FILE to the signing key, or SLIPWAY_HOME to the folder of `slipway up`; for a compose "
            "stack, run the command in its folder (see docs/signing.md)"
        )


def is_promoted(
    registry: Registry, version: ModelVersion, *, signer: Signer | None = None, trusted: TrustedKeys | None = None
) -> bool:
    """Return whether promoting a version would change nothing: it is Production, and not withdrawn.

    With a signer, the newest signed event must name it, too. Otherwise, a promotion confirms an alias that was moved
    outside of Slipway.
    """
    model = registry.get_model(version.name)
    if model.aliases.get(PRODUCTION) != version.version or is_withdrawn(version):
        return False
    if signer is None:
        return True
    event = newest_event(checked_events(model, trusted)) if trusted is not None else None
    try:
        return trusted is not None and event is not None and _is_of(event, version, signed_digest(version, trusted))
    except SignatureError:
        return False


def metrics_of(version: ModelVersion) -> dict[str, float]:
    """Return the metrics in a version's tag; an empty mapping if the tag is invalid."""
    try:
        return TypeAdapter(dict[str, float]).validate_json(version.tags.get(METRICS_TAG, "{}"))
    except ValidationError:
        return {}


def _restorable(
    registry: Registry, model: RegisteredModel, withdrawn: str, trusted: TrustedKeys | None
) -> ModelVersion:
    """Return the version that Production held before `withdrawn`, without deleted and withdrawn ones."""
    held = [
        found for v in held_versions(model, trusted) if v != withdrawn and (found := _existing(registry, model.name, v))
    ]
    restored = next((found for found in held if not is_withdrawn(found)), None)
    if restored is None and held:
        raise NothingToRestoreError(
            f"every version that Production of {model.name} held before version {withdrawn} is withdrawn; to lift a "
            f"withdrawal, promote that version by hand: slipway models promote {model.name} {held[0].version}"
        )
    if restored is None:
        raise NothingToRestoreError(
            f"version {withdrawn} is the first Production version of {model.name}, so no earlier one can be restored; "
            f"promote another by hand: slipway models promote {model.name} VERSION"
        )
    return restored


def _is_of(event: PromotionEvent, version: ModelVersion, digest: str) -> bool:
    return (event.version, event.digest) == (version.version, digest)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _existing(registry: Registry, name: str, version: str) -> ModelVersion | None:
    try:
        return registry.get_version(name, version)
    except RegistryNotFoundError:
        return None


def held_versions(model: RegisteredModel, trusted: TrustedKeys | None) -> list[str]:
    """Return the versions that Production held, most recent first; with trusted keys, by the signed events only."""
    if trusted is None:
        return held_before(moves(model))
    signed = [move for move in moves(with_accepted_events(model, trusted)) if move.event is not None]
    # An alias that was moved outside of Slipway does not hide the version that the signed history names.
    return [*(move.version for move in signed[-1:] if move.version is not None), *held_before(signed)]


def _digest_to_sign(
    model: RegisteredModel, version: ModelVersion, signer: Signer | None, trusted: TrustedKeys | None
) -> str | None:
    """Return the version's signed digest, which the signed event repeats; None without a signer.

    Raises:
        SignatureError, ConfigurationError: as in `promote`.
    """
    require_signer(model, signer)
    if signer is None:
        return None
    if trusted is not None:
        return signed_digest(version, trusted)
    try:
        return VersionSignature.model_validate_json(version.tags.get(SIGNATURE_TAG, "")).digest
    except ValidationError as error:
        raise SignatureError(
            f"version {version.version} of {model.name} is not signed: {how_to_sign(version)}"
        ) from error


def _move(
    registry: Registry,
    action: Action,
    version: ModelVersion,
    *,
    by: str,
    at: datetime,
    reason: str,
    signer: Signer | None,
    digest: str | None,
) -> PromotionEvent:
    model = registry.get_model(version.name)
    event = PromotionEvent(
        action=action,
        version=version.version,
        from_version=model.aliases.get(PRODUCTION),
        by=by,
        at=at,
        reason=_cut(reason, MAX_REASON),
        metrics=metrics_of(version),
        data_version=version.tags.get(DATA_VERSION_TAG),
        digest=digest,
    )
    registry.set_alias(version.name, PRODUCTION, version.version)
    add_event(registry, version.name, event, signer)
    return event

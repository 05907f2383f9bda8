"""Verify the signatures of versions and of promotion events, as stored in tags of the registry."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from slipway_core.bundle import MANIFEST_TAG, data_version, digest, is_digest
from slipway_core.errors import SignatureError
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry.base import ModelVersion, RegisteredModel
from slipway_core.registry.events import (
    EVENT_PREFIX,
    MAX_SKEW_MICROSECONDS,
    PromotionEvent,
    key_of,
    now_in_microseconds,
    numbered_tags,
    parse_event,
)
from slipway_core.registry.register_command import register_command
from slipway_core.signing.keys import PublicKey, TrustedKeys
from slipway_core.signing.messages import SIGNATURE_FIELD, SIGNATURE_TAG, verify_event, verify_version

# The digest of a version that Slipway's trainer did not register. The prefix distinguishes it from a bundle's.
FOREIGN_PREFIX = "files-"


@dataclass(frozen=True)
class CheckedEvent:
    """An event of a model's history, and whether a trusted key signed it.

    Attributes:
        number: the number in the key of its tag.
        event: the event; None if its tag is malformed.
        key: the trusted key that signed it; None if it is not accepted.
        problem: why it is not accepted, as the end of a sentence about the event.
    """

    number: int
    event: PromotionEvent | None
    key: PublicKey | None = None
    problem: str = ""


def signed_digest(version: ModelVersion, trusted: TrustedKeys) -> str:
    """Return the digest of a version that a trusted key signed.

    Raises:
        SignatureError: no trusted key signed it, or its tags contradict the signed digest.
    """
    tag = version.tags.get(SIGNATURE_TAG)
    subject = f"version {version.version} of {version.name}"
    if tag is None:
        raise SignatureError(f"{subject} is not signed by a trusted key: {how_to_sign(version)}")
    try:
        found, _ = verify_version(trusted, tag, version.name, version.version)
    except SignatureError as error:
        raise SignatureError(f"{subject} is refused, because {error}: {how_to_sign(version)}") from error
    if found.digest.startswith(FOREIGN_PREFIX) == (MANIFEST_TAG in version.tags) or (
        MANIFEST_TAG in version.tags and version.tags[MANIFEST_TAG] != found.digest
    ):
        raise SignatureError(
            f"{subject} is refused, because its tag {MANIFEST_TAG} was changed after it was signed: promote another "
            f"version with `slipway models promote {shlex.quote(version.name)} VERSION`"
        )
    return found.digest


def foreign_digest(mlmodel: bytes, model: bytes) -> str:
    """Return the digest of a version without a bundle: that of its MLmodel file and its graph."""
    return FOREIGN_PREFIX + data_version({"MLmodel": digest(mlmodel), MODEL_FILE: digest(model)})


def checked_events(model: RegisteredModel, trusted: TrustedKeys) -> list[CheckedEvent]:
    """Return every event of a model with the result of its verification, in the order of their numbers."""
    checked = []
    for number, value in numbered_tags(model.tags):
        try:
            key, signed = verify_event(trusted, model.name, number, value)
        except SignatureError as error:
            checked.append(CheckedEvent(number, parse_event(value), problem=str(error)))
            continue
        event = parse_event(signed)
        if event is None or event.serial is None or event.digest is None:
            checked.append(CheckedEvent(number, event, problem="it is signed, but malformed"))
            continue
        if event.serial > now_in_microseconds() + MAX_SKEW_MICROSECONDS:
            checked.append(CheckedEvent(number, event, problem="it is dated in the future: check the clocks"))
            continue
        checked.append(CheckedEvent(number, event, key))
    return checked


def newest_event(events: Sequence[CheckedEvent]) -> PromotionEvent | None:
    """Return the accepted event with the highest serial; None without an accepted event."""
    accepted = [checked.event for checked in events if checked.key is not None and checked.event is not None]
    return max(accepted, key=lambda event: event.serial or 0, default=None)


def with_accepted_events(model: RegisteredModel, trusted: TrustedKeys) -> RegisteredModel:
    """Return a model without the events that no trusted key signed."""
    others = {key: value for key, value in model.tags.items() if not key.startswith(EVENT_PREFIX)}
    accepted = {
        key_of(checked.number): checked.event.to_tag()
        for checked in checked_events(model, trusted)
        if checked.key is not None and checked.event is not None
    }
    return replace(model, tags={**others, **accepted})


def has_signed_history(model: RegisteredModel) -> bool:
    """Return whether any event of a model has a signature, valid or not."""
    return any(f'"{SIGNATURE_FIELD}":"' in value for _, value in numbered_tags(model.tags))


def has_bundle(version: ModelVersion) -> bool:
    """Return whether Slipway registered a version, so that its tag has the digest of its manifest."""
    return is_digest(version.tags.get(MANIFEST_TAG, ""))


def how_to_sign(version: ModelVersion) -> str:
    """Return the advice for a version that is not signed; a version of another tool is converted instead."""
    if MANIFEST_TAG not in version.tags:
        return f"convert it to a bundle with `{register_command(version.name, version.version, trust=False)}`"
    command = f"slipway signing sign {shlex.quote(version.name)} {version.version}"
    return f"if you trust its origin, sign it with `{command}`"

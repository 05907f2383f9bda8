"""Sign versions that are already registered, and the history of their model."""

import shlex
import tempfile
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from slipway_core.bundle import MANIFEST_TAG, MLMODEL_FILE
from slipway_core.errors import (
    BundleError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
    SignatureError,
)
from slipway_core.manifest import MODEL_FILE
from slipway_core.plurals import count_of
from slipway_core.registry.base import PRODUCTION, ModelVersion, RegisteredModel, Registry
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.event_log import add_event
from slipway_core.registry.events import PromotionEvent, key_of, now_in_microseconds, numbered_tags, parse_event
from slipway_core.registry.promotion import DATA_VERSION_TAG, held_versions, metrics_of
from slipway_core.registry.signatures import (
    checked_events,
    foreign_digest,
    has_bundle,
    has_signed_history,
    how_to_sign,
    newest_event,
    signed_digest,
)
from slipway_core.registry.withdrawals import is_withdrawn
from slipway_core.signing import Signer, TrustedKeys
from slipway_core.signing.messages import SIGNATURE_TAG, sign_event, sign_version

REASON = "signed the Production version"


def sign_one(registry: Registry, version: ModelVersion, signer: Signer) -> str:
    """Check the digests of a version's files, sign the version, and return the signed digest.

    Raises:
        BundleError: a file is damaged or missing.
        RegistryError: the registry failed.
    """
    digest = _digest_of(registry, version)
    _store(registry, version, signer, digest)
    return digest


def sign_bundle(registry: Registry, version: ModelVersion, signer: Signer, manifest_sha256: str) -> None:
    """Sign the version of a bundle that was just written and read back.

    Raises:
        RegistryError: the registry failed.
    """
    _store(registry, version, signer, manifest_sha256)


def sign_model(
    registry: Registry,
    name: str,
    signer: Signer,
    *,
    by: str,
    echo: Callable[[str], None],
    trusted: TrustedKeys | None = None,
    replace: bool = True,
) -> int:
    """Sign a model's Production version, the versions that a rollback can restore, and their events.

    If trusted keys signed events before, only what they signed is signed again. Otherwise, such as after an upgrade,
    everything is signed as it is. A new event is added, so that an API that has followed a later history, such as
    before a restore, follows this one.

    Args:
        registry: holds the model.
        name: the model's name.
        signer: signs.
        by: who signs, for the history.
        echo: receives a sentence for each version that could not be signed.
        trusted: the keys that signed before.
        replace: whether to replace signatures of other keys.

    Returns:
        The number of signed versions.

    Raises:
        RegistryUnavailableError: the registry cannot be reached.
    """
    model = registry.get_model(name)
    accepted = [] if trusted is None else [one for one in checked_events(model, trusted) if one.key is not None]
    newest = newest_event(accepted)
    production = model.aliases.get(PRODUCTION) if newest is None else newest.version
    if production is None:
        return 0
    known = trusted if newest is not None else None
    held = held_versions(model, known) if PRODUCTION in model.aliases else []
    digests: dict[str, str] = {}
    failed: set[str] = set()
    for number in dict.fromkeys([production, *held]):
        try:
            version = registry.get_version(name, number)
            if number != production and is_withdrawn(version):
                continue
            digests[number] = _sign_again(registry, version, signer, known, replace=replace)
        except RegistryUnavailableError:
            raise
        except RegistryNotFoundError:  # a deleted version, or one without files
            if number == production:
                echo(f"Version {number} of {name} is not signed: it has no files in the registry.")
        except (BundleError, RegistryError) as error:
            failed.add(number)
            echo(f"Version {number} of {name} is not signed: {error}.")
    wanted = {number for number, _ in numbered_tags(model.tags)} if known is None else {one.number for one in accepted}
    _sign_events(registry, model, signer, digests, numbers=wanted, failed=failed)
    if production in digests:
        _confirm(registry, registry.get_version(name, production), signer, digests[production], by)
    return len(digests)


def _confirm(registry: Registry, version: ModelVersion, signer: Signer, digest: str, by: str) -> None:
    """Add a signed event of the Production version."""
    event = PromotionEvent(
        action="promote",
        version=version.version,
        from_version=version.version,
        by=by,
        at=datetime.now(UTC),
        reason=REASON,
        metrics=metrics_of(version),
        data_version=version.tags.get(DATA_VERSION_TAG),
        digest=digest,
    )
    add_event(registry, version.name, event, signer)


def sign_models(
    registry: Registry,
    signer: Signer,
    *,
    by: str,
    echo: Callable[[str], None],
    trusted: TrustedKeys | None = None,
    replace: bool = True,
    names: Sequence[str] = (),
) -> None:
    """Call `sign_model` for the named models, or for every model with a Production version, and report the result.

    If other keys may have signed a model, and no trusted key signed a promotion of it, the model must be named.
    Otherwise, a key that the API does not trust would replace all signatures, and an attacker who deletes the events
    before a rotation would get everything signed as it is.

    Raises:
        RegistryError: the registry cannot be reached, or a named model does not exist.
    """
    wanted = names or sorted(model.name for model in registry.list_models() if PRODUCTION in model.aliases)
    is_rotation = trusted is not None and any(not one.events_only and one.key_id != signer.key_id for one in trusted)
    for name in wanted:
        model = registry.get_model(name)
        may_be_replaced = trusted is not None and (is_rotation or has_signed_history(model))
        if may_be_replaced and not names and not _has_accepted_event(model, trusted):
            echo(
                f"{name} is not signed: no promotion in its history is signed by a trusted key. Add the key that "
                "signed it to the trusted keys, or, if you trust its content, run "
                f"`slipway signing sign-existing {shlex.quote(name)}`."
            )
            continue
        count = sign_model(registry, name, signer, by=by, echo=echo, trusted=trusted, replace=replace)
        echo(f"Signed {count_of(count, 'version')} of {name} with the key {signer.key_id}.")


def _has_accepted_event(model: RegisteredModel, trusted: TrustedKeys | None) -> bool:
    return trusted is not None and newest_event(checked_events(model, trusted)) is not None


def _sign_again(
    registry: Registry, version: ModelVersion, signer: Signer, trusted: TrustedKeys | None, *, replace: bool
) -> str:
    if trusted is not None:
        digest = signed_digest(version, trusted)
        _store(registry, version, signer, digest)
        return digest
    if SIGNATURE_TAG in version.tags and not replace and not _is_signed_by(signer, version):
        raise SignatureError(
            "another key signed it; `slipway signing sign-existing` replaces the signature, and `slipway signing show` "
            "prints the key to trust instead"
        )
    return sign_one(registry, version, signer)


def _is_signed_by(signer: Signer, version: ModelVersion) -> bool:
    """Return whether an earlier call, which may have been interrupted, signed a version."""
    try:
        signed_digest(version, TrustedKeys([signer.public_key("own")]))
    except SignatureError:
        return False
    return True


def _sign_events(
    registry: Registry,
    model: RegisteredModel,
    signer: Signer,
    digests: dict[str, str],
    *,
    numbers: Collection[int],
    failed: Collection[str],
) -> None:
    """Sign events in place, by their numbers, except those of versions that could not be signed.

    The serials increase and are not in the future. An event of a withdrawn or deleted version gets an empty digest,
    with which no version can be served.
    """
    serial, now = 0, now_in_microseconds()
    for number, value in numbered_tags(model.tags):
        event = parse_event(value)
        if event is None or event.version in failed or number not in numbers:
            continue
        serial = max(serial + 1, min(event.serial or int(event.at.timestamp() * 1_000_000), now))
        digest = digests.get(event.version, "")
        signed = event.model_copy(update={"serial": serial, "digest": digest})
        registry.set_model_tag(model.name, key_of(number), sign_event(signer, model.name, number, signed.to_tag()))


def _digest_of(registry: Registry, version: ModelVersion) -> str:
    if has_bundle(version):
        return fetch_bundle(registry, version, version.tags[MANIFEST_TAG]).manifest_sha256
    if MANIFEST_TAG in version.tags:
        raise BundleError(f"version {version.version} has no SHA-256 in its tag {MANIFEST_TAG}: register it again")
    with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as folder:
        try:
            for file in (MLMODEL_FILE, MODEL_FILE):
                registry.fetch(version, file, Path(folder) / file)
        except RegistryNotFoundError as error:
            raise BundleError(
                f"version {version.version} of {version.name} has no ONNX graph, so it cannot be signed: "
                f"{how_to_sign(version)}"
            ) from error
        return foreign_digest((Path(folder) / MLMODEL_FILE).read_bytes(), (Path(folder) / MODEL_FILE).read_bytes())


def _store(registry: Registry, version: ModelVersion, signer: Signer, digest: str) -> None:
    tag = sign_version(signer, version.name, version.version, digest, datetime.now(UTC))
    registry.set_version_tag(version.name, version.version, SIGNATURE_TAG, tag)

"""Check the signatures of the Production versions and of their history."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning
from slipway_cli.doctor.http_probe import ANSWER_SECONDS
from slipway_cli.errors import StackError
from slipway_core.errors import ConfigurationError, RegistryError, SignatureError
from slipway_core.registry import PRODUCTION, RegisteredModel, Registry
from slipway_core.registry.signatures import checked_events, newest_event, signed_digest
from slipway_core.signing import TrustedKeys
from slipway_core.signing.files import SIGNING_VARIABLE, TRUSTED_VARIABLE, read_signer, read_trusted_keys

CHECK = "signatures"
COMPOSE_KEYS = "/run/slipway/trusted-keys"


def check_signing(context: DoctorContext) -> Iterator[Finding]:
    """Check the keys, and the signatures of each model that has a Production version."""
    try:
        trusted = _trusted_keys(context)
    except ConfigurationError as error:
        yield broken(CHECK, f"the trusted keys cannot be read: {error}", f"correct the file of {TRUSTED_VARIABLE}")
        return
    except StackError as error:
        yield warning(CHECK, f"not checked: {error}", "start the service api, then run `slipway doctor` again")
        return
    if trusted is None:
        yield ok(CHECK, f"not verified: {TRUSTED_VARIABLE} is not set, so all writers of MLflow are trusted")
        return
    yield from _check_signing_key(context.settings.signing_key_file, trusted)
    settings = context.settings.model_copy(update={"mlflow_tracking_uri": context.tracking_uri})
    with settings.open_registry(ANSWER_SECONDS) as registry:
        yield from check_signatures(registry, trusted)


def check_signatures(registry: Registry, trusted: TrustedKeys) -> Iterator[Finding]:
    """Check the signatures of each model that has a Production version.

    Args:
        registry: the registry.
        trusted: the keys that the API trusts.
    """
    try:
        models = sorted(registry.list_models(), key=lambda model: model.name)
    except RegistryError as error:
        yield broken(CHECK, str(error), "see the MLflow server's log")
        return
    findings = [finding for model in models for finding in _check_model(registry, model, trusted)]
    yield from findings or [ok(CHECK, f"trusted keys signed every Production version: {_names(trusted)}")]


def _check_model(registry: Registry, model: RegisteredModel, trusted: TrustedKeys) -> Iterator[Finding]:
    check, name, production = f"model {model.name}", shlex.quote(model.name), model.aliases.get(PRODUCTION)
    events = checked_events(model, trusted)
    refused = [event for event in events if event.key is None]
    if refused:
        first = refused[0]
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        yield warning(
            check,
            f"event {first.number} of its history is not accepted: {first.problem}{more}",
            f"check who wrote it with `slipway models history {name}`; the API ignores it",
        )
    if production is None:
        return
    sign = f"if it is intended, run `slipway models promote {name} {production}`"
    event = newest_event(events)
    try:
        digest = signed_digest(registry.get_version(model.name, production), trusted)
    except SignatureError as error:
        what, _, mend = str(error).partition(": ")
        yield broken(check, what, mend or sign)
        return
    except RegistryError:
        return  # another check reports it
    if event is None:
        yield broken(check, f"no trusted key signed the promotion of version {production}, Production", sign)
    elif event.version != production:
        yield broken(
            check,
            f"Production was moved to version {production} without a signed promotion; the API serves version "
            f"{event.version}",
            f"{sign}; otherwise go back with `slipway models promote {name} {event.version}`",
        )
    elif event.digest != digest:
        yield broken(check, f"version {production}, Production, has another bundle than the promoted one", sign)


def _trusted_keys(context: DoctorContext) -> TrustedKeys | None:
    """Return the keys that the API trusts: those of the settings, or of the stack that has the registry."""
    if context.settings.trusted_keys is not None:
        return read_trusted_keys(context.settings.trusted_keys)
    if context.compose_mlflow_url is not None and context.compose_project is not None:
        return TrustedKeys.parse(context.compose_project.call("exec", "-T", "api", "cat", COMPOSE_KEYS))
    if context.is_embedded and context.home.trusted_keys.exists():
        return read_trusted_keys(context.home.trusted_keys)
    return None


def _check_signing_key(path: Path | None, trusted: TrustedKeys) -> Iterator[Finding]:
    """Check that the configured signing key can be used, and that it is trusted."""
    try:
        signer = read_signer(path)
    except ConfigurationError as error:
        what, _, mend = str(error).partition(": ")
        yield broken(SIGNING_VARIABLE, what, mend or "create a key with `slipway signing create`")
        return
    if signer is not None and signer.key_id not in {key.key_id for key in trusted}:
        yield broken(
            SIGNING_VARIABLE,
            f"its key {signer.key_id} is not trusted, so the API refuses what it signs",
            f"add the line that `slipway signing show` prints to the file of {TRUSTED_VARIABLE}",
        )


def _names(trusted: TrustedKeys) -> str:
    return ", ".join(f"{key.name} ({key.key_id})" for key in trusted)

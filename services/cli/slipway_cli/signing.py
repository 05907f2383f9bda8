"""The keys that sign and verify: those of the settings, or of the stack on this machine that has the registry."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from slipway_cli.addresses import MLFLOW_PORT
from slipway_cli.api_address import LOOPBACK, find_api
from slipway_cli.docker.compose_project import ComposeProject, find_project
from slipway_cli.docker.containers import containers
from slipway_cli.embedded.home import Home
from slipway_cli.errors import StackError
from slipway_core.registry import RegisteredModel
from slipway_core.registry.alias_history import Move
from slipway_core.registry.events import numbered_tags, parse_event
from slipway_core.registry.settings import SigningSettings
from slipway_core.registry.signatures import CheckedEvent, checked_events
from slipway_core.signing import TrustedKeys

# The job with the signing key that every start of the stack runs; its container stays.
KEY_SERVICE = "init"


def signature_notes(model: RegisteredModel, alias_moves: Sequence[Move], trusted: TrustedKeys) -> list[str | None]:
    """Return for each move who signed its event, or why it is not accepted; None for a move without an event.

    Args:
        model: the model.
        alias_moves: its moves, newest first.
        trusted: the trusted keys.
    """
    values = dict(numbered_tags(model.tags))
    # The same events as those of the moves: a signed one may be written so that only one of two parsers reads it.
    shown = [one for one in checked_events(model, trusted) if parse_event(values[one.number]) is not None]
    checked = iter(shown[::-1])
    return [None if move.event is None else _note(next(checked)) for move in alias_moves]


def _note(checked: CheckedEvent) -> str:
    return f"signed: {checked.key.name}" if checked.key is not None else f"NOT ACCEPTED: {checked.problem}"


@contextmanager
def key_files(registry: str, settings: SigningSettings) -> Iterator[SigningSettings]:
    """Yield the settings. Without key files, yield them with those of the stack on this machine that has the registry.

    The keys of a compose stack are in a volume, which every account that may use Docker can read. They are copied to a
    private folder until the block ends.

    Args:
        registry: the address of the MLflow server.
        settings: the settings.
    """
    if settings.signing_key_file is not None or settings.trusted_keys is not None:
        yield settings
        return
    folder = find_api(registry).home
    if folder is not None and (home := Home(folder)).trusted_keys.exists():
        yield _with_files(settings, home.bundle_key, home.trusted_keys)
        return
    if (project := _compose_stack(registry)) is None:
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="slipway-keys-") as temporary:
        found = settings
        key, trusted = Path(temporary, "bundle-key"), Path(temporary, "trusted-keys")
        # The keys are missing in a stack of an earlier release, or an incomplete one: nothing is signed.
        with suppress(StackError):
            for path in (key, trusted):
                project.call("cp", f"{KEY_SERVICE}:/run/slipway/{path.name}", str(path))
            found = _with_files(settings, key, trusted)
        yield found


def _with_files(settings: SigningSettings, key: Path, trusted: Path) -> SigningSettings:
    return settings.model_copy(update={"signing_key_file": key, "trusted_keys": trusted})


def _compose_stack(registry: str) -> ComposeProject | None:
    """Return the compose stack in this folder, or a parent folder, if its MLflow has this address."""
    address = urlsplit(registry)
    if address.hostname not in LOOPBACK or shutil.which("docker") is None:
        return None
    try:
        project = find_project(Path.cwd())
        ports = [one.ports.get(MLFLOW_PORT) for one in containers(project) if one.service == "mlflow"]
    except StackError:
        return None
    return project if address.port is not None and address.port in ports else None

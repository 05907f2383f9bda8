"""The keys that sign and verify: those of the settings, or of the embedded stack that has the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway_cli.api_address import find_api
from slipway_cli.embedded.home import Home
from slipway_core.registry import RegisteredModel
from slipway_core.registry.alias_history import Move
from slipway_core.registry.settings import RegistrySettings
from slipway_core.registry.signatures import CheckedEvent, checked_events
from slipway_core.signing import Signer, TrustedKeys
from slipway_core.signing.files import read_signer, read_trusted_keys


@dataclass(frozen=True)
class KeyFiles:
    """The files of the keys; None for those that are not set."""

    signing_key: Path | None
    trusted_keys: Path | None

    def signer(self) -> Signer | None:
        """Return the signer; None without a signing key.

        Raises:
            ConfigurationError: the file cannot be used.
        """
        return read_signer(self.signing_key)

    def trusted(self) -> TrustedKeys | None:
        """Return the trusted keys; None if none are set.

        Raises:
            ConfigurationError: the file cannot be used.
        """
        return read_trusted_keys(self.trusted_keys)


def signature_notes(model: RegisteredModel, alias_moves: Sequence[Move], trusted: TrustedKeys) -> list[str | None]:
    """Return for each move who signed its event, or why it is not accepted; None for a move without an event.

    Args:
        model: the model.
        alias_moves: its moves, newest first.
        trusted: the trusted keys.
    """
    checked = iter([one for one in checked_events(model, trusted) if one.event is not None][::-1])
    return [None if move.event is None else _note(next(checked)) for move in alias_moves]


def _note(checked: CheckedEvent) -> str:
    return f"signed: {checked.key.name}" if checked.key is not None else f"NOT ACCEPTED: {checked.problem}"


def key_files(settings: RegistrySettings) -> KeyFiles:
    """Return the key files of the settings. Without any, return those of a running `slipway up` with this registry."""
    if settings.signing_key_file is not None or settings.trusted_keys is not None:
        return KeyFiles(settings.signing_key_file, settings.trusted_keys)
    folder = find_api(settings.mlflow_tracking_uri).home
    if folder is None or not (home := Home(folder)).trusted_keys.exists():
        return KeyFiles(None, None)
    return KeyFiles(home.bundle_key, home.trusted_keys)

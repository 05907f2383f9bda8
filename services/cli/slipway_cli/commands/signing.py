"""`slipway signing`: the keys that sign versions and promotions."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from slipway_cli.output import echo
from slipway_cli.signing import key_files
from slipway_core.current_user import current_user
from slipway_core.errors import ConfigurationError
from slipway_core.registry.settings import RegistrySettings, SigningSettings
from slipway_core.registry.sign_existing import sign_models, sign_one
from slipway_core.settings import load_settings
from slipway_core.signing import Signer
from slipway_core.signing.files import create_key, read_signer

app = typer.Typer(no_args_is_help=True, help="Create signing keys, and sign registered versions; see docs/signing.md.")
KeyName = Annotated[str, typer.Option("--name", help="The key's name in the file of trusted keys, without spaces.")]
EventsOnly = Annotated[
    bool, typer.Option("--events", help="The key may sign only promotions, such as that of the API.")
]


@app.command()
def create(
    file: Annotated[Path, typer.Argument(help="The new file of the private key, such as `trainer-key.pem`.")],
    name: KeyName = "trainer",
    events: EventsOnly = False,
) -> None:
    """Create a private key, and print its line for the file of SLIPWAY_TRUSTED_KEYS.

    Never overwrites a file. Example: `slipway signing create trainer-key.pem >> trusted-keys`
    """
    _check_name(name)
    echo(str(create_key(file).public_key(name, events_only=events)))


@app.command()
def show(
    file: Annotated[
        Path | None, typer.Argument(help="The private key. Defaults to the file of SLIPWAY_SIGNING_KEY_FILE.")
    ] = None,
    name: KeyName = "trainer",
    events: EventsOnly = False,
) -> None:
    """Print the public key of a private key, as a line for the file of SLIPWAY_TRUSTED_KEYS.

    Example: `slipway signing show trainer-key.pem`
    """
    _check_name(name)
    signer = read_signer(file) if file is not None else load_settings(SigningSettings).signer()
    echo(str(_required(signer).public_key(name, events_only=events)))


@app.command()
def sign(
    name: Annotated[str, typer.Argument(help="The model's name, such as `iris`.")],
    version: Annotated[str, typer.Argument(help="The version's number.")],
) -> None:
    """Check the digests of one version, and sign it. Sign only versions whose origin you trust.

    Example: `slipway signing sign iris 3`
    """
    settings = load_settings(RegistrySettings)
    with _keys(settings) as keys, settings.open_registry() as registry:
        signer = _required(keys.signer())
        digest = sign_one(registry, registry.get_version(name, version), signer)
    echo(f"Signed version {version} of {name} ({digest}) with the key {signer.key_id}.")


@app.command("sign-existing")
def sign_existing(
    names: Annotated[list[str] | None, typer.Argument(help="The models. Defaults to all with Production.")] = None,
) -> None:
    """Sign the Production versions, those that a rollback can restore, and their promotions.

    Use it when keys are introduced or replaced, and after a restore. It approves what the registry contains.
    If other keys are trusted, too, it skips models without a signed promotion, unless they are named.
    Example: `slipway signing sign-existing`
    """
    settings = load_settings(RegistrySettings)
    with _keys(settings) as keys, settings.open_registry() as registry:
        signer = _required(keys.signer())
        sign_models(registry, signer, by=current_user(), echo=echo, trusted=keys.read_trusted_keys(), names=names or ())


def _keys(settings: RegistrySettings) -> AbstractContextManager[SigningSettings]:
    return key_files(settings.mlflow_tracking_uri, settings)


def _required(signer: Signer | None) -> Signer:
    if signer is None:
        raise ConfigurationError(
            "SLIPWAY_SIGNING_KEY_FILE is not set: set it to the file of a private key, such as of "
            "`slipway signing create`"
        )
    return signer


def _check_name(name: str) -> None:
    if not name or name.split() != [name] or "#" in name:
        raise typer.BadParameter("write a name without spaces and #", param_hint="--name")

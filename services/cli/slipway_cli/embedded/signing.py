"""The signing keys of the embedded stack, in its folder."""

from collections.abc import Callable

from slipway_cli.embedded.home import Home
from slipway_cli.errors import StackError
from slipway_core.atomic_file import write_secret
from slipway_core.registry import Registry
from slipway_core.registry.sign_existing import sign_models
from slipway_core.signing import Signer
from slipway_core.signing.files import create_key, read_signer

BUNDLE_NAME, EVENTS_NAME = "trainer", "api"


def make_keys(home: Home) -> None:
    """Create the missing private keys: one for the trainer, and one for the API, which signs only events.

    Raises:
        ConfigurationError, StackError: a file cannot be read or written.
    """
    try:
        home.bundle_key.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StackError(f"{home.bundle_key.parent} cannot be written ({error.strerror}): check its owner") from error
    for path in (home.bundle_key, home.events_key):
        if not path.exists():
            create_key(path)


def trust_keys(home: Home) -> None:
    """Write the file of trusted keys, which the API reads; an existing one is not changed.

    Raises:
        ConfigurationError, StackError: a file cannot be read or written.
    """
    if home.trusted_keys.exists():
        return
    bundles, events = read_signer(home.bundle_key), read_signer(home.events_key)
    if bundles is None or events is None:
        raise StackError(f"{home.bundle_key.parent} has no signing keys: start `slipway up` again")
    lines = (bundles.public_key(BUNDLE_NAME), events.public_key(EVENTS_NAME, events_only=True))
    try:
        write_secret(home.trusted_keys, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise StackError(f"{home.trusted_keys} cannot be written ({error.strerror}): check its owner") from error


def sign_registry(home: Home, registry: Registry, echo: Callable[[str], None]) -> None:
    """Sign the versions of a registry that an earlier release filled, then trust the keys.

    Raises:
        SlipwayError: the registry does not respond, or a file cannot be read or written. The keys are not trusted.
    """
    signer: Signer | None = read_signer(home.bundle_key)
    if signer is not None:
        sign_models(registry, signer, by="slipway up", echo=echo, replace=False)
    trust_keys(home)

"""The API's address and token: stored by `slipway login`, overridden by environment variables."""

from dataclasses import dataclass
from pathlib import Path

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from slipway_cli.errors import NotLoggedInError
from slipway_cli.settings import ClientSettings
from slipway_core.atomic_file import write_secret
from slipway_core.errors import ConfigurationError


class Credentials(BaseModel):
    """The credentials that `slipway login` stores."""

    model_config = ConfigDict(frozen=True)

    url: str
    username: str
    token: str


@dataclass(frozen=True)
class Identity:
    """An API's address and the token or API key to send."""

    url: str
    token: str


def credentials_file() -> Path:
    """Return the path of the stored credentials, in the user's configuration folder."""
    return Path(typer.get_app_dir("slipway")) / "credentials.json"


def store_credentials(credentials: Credentials) -> Path:
    """Write the credentials, readable by their owner only, and return the path.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    path = credentials_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(path, credentials.model_dump_json())
    except OSError as error:
        raise ConfigurationError(f"the token cannot be stored in {path}: {error.strerror}") from error
    return path


def forget_credentials() -> None:
    """Delete the stored credentials, if there are any.

    Raises:
        ConfigurationError: the file cannot be deleted.
    """
    path = credentials_file()
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the token in {path} cannot be deleted: {error.strerror}") from error


def identify(settings: ClientSettings) -> Identity:
    """Return the API's address and what to send to it.

    SLIPWAY_URL with SLIPWAY_TOKEN or SLIPWAY_API_KEY takes precedence over the credentials of `slipway login`.

    Raises:
        ConfigurationError: both a token and a key are set.
        NotLoggedInError: an address, or a token and a key are missing.
    """
    kept = stored_credentials()
    if settings.token and settings.api_key:
        raise ConfigurationError("SLIPWAY_TOKEN and SLIPWAY_API_KEY are both set: remove one of them")
    given = settings.token or settings.api_key
    token = given.get_secret_value() if given else None
    # A stored token is sent only to the address that issued it.
    if token is None and kept is not None and (settings.url is None or settings.url.rstrip("/") == kept.url):
        token = kept.token
    url = settings.url or (kept.url if kept else None)
    if url is None or token is None:
        raise NotLoggedInError(
            "you are not logged in: run `slipway login URL`, or set SLIPWAY_URL and SLIPWAY_TOKEN or SLIPWAY_API_KEY"
        )
    return Identity(url.rstrip("/"), token)


def known_url(settings: ClientSettings) -> str | None:
    """Return the API's address: SLIPWAY_URL, or that of `slipway login`; None if neither is set."""
    kept = stored_credentials()
    return settings.url or (kept.url if kept else None)


def keep_token(identity: Identity, token: str) -> bool:
    """Replace the stored, revoked token of an identity with a new one.

    Returns:
        Whether the token was stored: False if the old one came from SLIPWAY_TOKEN.
    """
    kept = stored_credentials()
    if kept is None or kept.token != identity.token or kept.url != identity.url:
        return False
    store_credentials(kept.model_copy(update={"token": token}))
    return True


def stored_credentials() -> Credentials | None:
    """Return the credentials that `slipway login` stored; None without a valid file."""
    try:
        return Credentials.model_validate_json(credentials_file().read_bytes())
    except (OSError, ValidationError):
        return None

"""Who the person at the terminal is to an API: what `slipway login` keeps, and what overrides it."""

from dataclasses import dataclass
from pathlib import Path

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from slipway_cli.errors import NotLoggedInError
from slipway_cli.settings import ClientSettings
from slipway_core.atomic_file import write_secret
from slipway_core.errors import ConfigurationError


class Credentials(BaseModel):
    """What `slipway login` keeps."""

    model_config = ConfigDict(frozen=True)

    url: str
    username: str
    token: str


@dataclass(frozen=True)
class Identity:
    """An API's address, and the token to send it."""

    url: str
    token: str


def credentials_file() -> Path:
    """Return where credentials are kept: the user's configuration folder."""
    return Path(typer.get_app_dir("slipway")) / "credentials.json"


def store_credentials(credentials: Credentials) -> Path:
    """Write the credentials so that only their owner can read them, and return where.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    path = credentials_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(path, credentials.model_dump_json())
    except OSError as error:
        raise ConfigurationError(f"the token cannot be kept in {path}: {error.strerror}") from error
    return path


def identify(settings: ClientSettings) -> Identity:
    """Return whom to ask, and as whom: SLIPWAY_URL and SLIPWAY_TOKEN, else what `slipway login` has kept.

    Raises:
        NotLoggedInError: an address or a token is missing.
    """
    kept = _kept()
    token = settings.token.get_secret_value() if settings.token else None
    # A token is of one API: one that was kept for another address must not be sent to this.
    if token is None and kept is not None and (settings.url is None or settings.url.rstrip("/") == kept.url):
        token = kept.token
    url = settings.url or (kept.url if kept else None)
    if url is None or token is None:
        raise NotLoggedInError("you are not logged in: run `slipway login URL`, or set SLIPWAY_URL and SLIPWAY_TOKEN")
    return Identity(url.rstrip("/"), token)


def keep_token(identity: Identity, token: str) -> bool:
    """Keep a fresh token in the place of the one that an identity was kept with, which has ended.

    Returns:
        Whether it was kept there; not if the token came from SLIPWAY_TOKEN.
    """
    kept = _kept()
    if kept is None or kept.token != identity.token or kept.url != identity.url:
        return False
    store_credentials(kept.model_copy(update={"token": token}))
    return True


def _kept() -> Credentials | None:
    try:
        return Credentials.model_validate_json(credentials_file().read_bytes())
    except (OSError, ValidationError):
        return None

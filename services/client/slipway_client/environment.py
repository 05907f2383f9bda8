"""The address and the credential from environment variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from slipway_client.errors import ConfigurationError

URL, TOKEN, API_KEY = "SLIPWAY_URL", "SLIPWAY_TOKEN", "SLIPWAY_API_KEY"
FILE_SUFFIX = "_FILE"


class Settings(TypedDict):
    """The arguments of a client."""

    url: str
    token: str | None
    api_key: str | None


def read_environment(environ: Mapping[str, str]) -> Settings:
    """Return the settings: SLIPWAY_URL, and SLIPWAY_TOKEN or SLIPWAY_API_KEY.

    As everywhere in Slipway, `NAME_FILE` names a file that contains a secret; `NAME` takes precedence.

    Raises:
        ConfigurationError: the address is missing, or a file cannot be read.
    """
    url = environ.get(URL)
    if not url:
        raise ConfigurationError(f"{URL} is not set: set it to the address of the API, as http://127.0.0.1:8000")
    return Settings(url=url, token=_secret(environ, TOKEN), api_key=_secret(environ, API_KEY))


def _secret(environ: Mapping[str, str], name: str) -> str | None:
    if value := environ.get(name):
        return value
    path = environ.get(name + FILE_SUFFIX)
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}{FILE_SUFFIX} names a file that cannot be read: {path}") from error

"""Find the API that serves the models of a registry, for commands that a user pastes."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from slipway_cli.addresses import reachable_url
from slipway_cli.embedded.home import Home
from slipway_cli.identity import known_url
from slipway_cli.settings import ClientSettings, UpSettings
from slipway_core.settings import load_settings

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class KnownApi:
    """An API.

    Attributes:
        url: its address; None if it is unknown.
        password_file: the file with the first administrator's password, if the API belongs to the embedded stack.
        home: the folder of the embedded stack that the API belongs to.
    """

    url: str | None
    password_file: Path | None = None
    home: Path | None = None


def find_api(registry: str) -> KnownApi:
    """Return the API of the embedded stack if it runs and has this registry, otherwise that of the settings.

    Args:
        registry: the address of the MLflow server.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    settings = load_settings(UpSettings)
    home = Home(settings.home.expanduser().absolute())
    ports = home.ports()
    address = urlsplit(registry)
    if ports is not None and home.is_locked() and address.hostname in LOOPBACK and address.port == ports.mlflow:
        return KnownApi(reachable_url(settings.host, ports.api), home.password_file, home.root)
    return KnownApi(known_url(load_settings(ClientSettings)))

"""Where the embedded stack stores its data: in its folder, or where environment variables specify."""

from pathlib import Path
from typing import TYPE_CHECKING

from slipway_cli.embedded.home import Home
from slipway_cli.settings import UpSettings
from slipway_core.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DEFAULT_PORTS = {"postgresql": 5432}
# MLflow's databases; Slipway does not install the drivers of the last two.
BACKENDS = ("postgresql", "sqlite", "mysql", "mssql")


def backend_store_uri(settings: UpSettings, home: Home) -> str:
    """Return the database of runs and models, with an installed driver.

    Raises:
        ConfigurationError: MLFLOW_BACKEND_STORE_URI is not a database, or it is that of DATABASE_URL.
    """
    if settings.mlflow_backend_store_uri is None:
        return f"sqlite:///{home.mlflow_database}"
    # Importing this takes a quarter of a second, which a start without a database URL does not need.
    from slipway_core.database import database_url, with_absolute_file, with_installed_driver  # noqa: PLC0415

    variable = "MLFLOW_BACKEND_STORE_URI"
    uri = with_installed_driver(settings.mlflow_backend_store_uri.get_secret_value(), variable)
    if uri.get_backend_name() not in BACKENDS:
        raise ConfigurationError(
            f"{variable} names {uri.get_backend_name()}, but MLflow requires a database, such as postgresql"
        )
    uri = with_absolute_file(uri)
    if settings.database_url is not None:
        ours = with_absolute_file(database_url(settings.database_url.get_secret_value()))
        if _place(ours) == _place(uri):
            raise ConfigurationError(
                f"{variable} and DATABASE_URL name the same database: create a second one, because both store their "
                "migrations under the same name"
            )
    return uri.render_as_string(hide_password=False)


def slipway_database_url(settings: UpSettings, home: Home) -> str:
    """Return Slipway's own database; a relative SQLite file is resolved against the current folder.

    Raises:
        ConfigurationError: DATABASE_URL is not a database that Slipway can use.
    """
    if settings.database_url is None:
        return f"sqlite:///{home.slipway_database}"
    from slipway_core.database import database_url, with_absolute_file  # noqa: PLC0415

    url = with_absolute_file(database_url(settings.database_url.get_secret_value()))
    return url.render_as_string(hide_password=False)


def artifacts_destination(settings: UpSettings, home: Home) -> str:
    """Return the destination of artifacts; a relative folder is resolved against the current folder."""
    given = settings.mlflow_artifacts_destination
    if given is None:
        return str(home.artifacts)
    return given if ":/" in given else str(Path(given).expanduser().absolute())


def _place(url: "URL") -> tuple[object, ...]:
    """Return what identifies a database, regardless of the account."""
    return url.get_backend_name(), url.host, url.port or DEFAULT_PORTS.get(url.get_backend_name()), url.database

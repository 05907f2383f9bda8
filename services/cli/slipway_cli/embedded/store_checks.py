"""Check that MLflow's stores can be used before MLflow starts."""

from collections.abc import Callable

from slipway_cli.errors import StackError
from slipway_core.errors import ConfigurationError, StorageError

CONNECT_TIMEOUT_SECONDS = 5


def verify_database(uri: str, log: Callable[[str], None]) -> None:
    """Connect once: MLflow itself would retry for minutes, then log a hundred lines.

    Args:
        uri: the database, with an installed driver.
        log: receives the error message of the driver; it may name hosts and accounts.

    Raises:
        StackError: the database cannot be opened.
    """
    if uri.startswith("sqlite:"):
        return
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    backend = make_url(uri).get_backend_name()
    arguments = {"connect_timeout": CONNECT_TIMEOUT_SECONDS} if backend == "postgresql" else {}
    try:
        engine = create_engine(uri, connect_args=arguments)
        engine.connect().close()
        engine.dispose()
    except ImportError as error:
        raise StackError(f"the driver of {backend} is not installed: install {error.name} with pip") from error
    except SQLAlchemyError as error:
        log(str(getattr(error, "orig", None) or type(error).__name__))
        raise StackError(
            "the database of MLFLOW_BACKEND_STORE_URI cannot be opened: check that its server is running, that the "
            "database exists, and the account and password"
        ) from error


def verify_artifact_store(destination: str) -> None:
    """Send a request to a bucket: MLflow itself would report a problem only after the training.

    Raises:
        StackError: the bucket cannot be used.
    """
    if not destination.startswith("s3://"):
        return
    from slipway_core.storage import open_storage  # noqa: PLC0415

    try:
        open_storage(destination).exists("slipway")
    except (ConfigurationError, StorageError) as error:
        raise StackError(f"MLFLOW_ARTIFACTS_DESTINATION cannot be used: {error}") from error

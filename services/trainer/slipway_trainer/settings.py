"""The trainer's settings, from environment variables."""

import os
from typing import ClassVar

from pydantic import Field

from slipway_core.logging import configure_logging
from slipway_core.registry.settings import RegistrySettings
from slipway_core.settings import load_settings


class TrainerSettings(RegistrySettings):
    """The trainer's settings."""

    file_fields: ClassVar[frozenset[str]] = RegistrySettings.file_fields | {"git_commit"}

    data_dir: str = Field(
        default="data",
        description="Where recipes search for data before they download it: a folder, or s3://bucket/prefix.",
    )
    git_commit: str | None = Field(
        default=None, description="The commit of the code, if it is not in a checkout; set in the stack's images."
    )
    mlflow_public_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="MLflow's address for browsers, for links to runs. Defaults to MLFLOW_TRACKING_URI.",
    )
    url: str | None = Field(
        default=None,
        description="The API's address in the requests that a training of a CSV file prints.",
    )
    admin_username: str = Field(default="admin", description="The account in these requests.")


def start() -> TrainerSettings:
    """Load the settings, and configure logging and MLflow's client by them.

    Raises:
        ConfigurationError: a setting is missing or invalid.
    """
    settings = load_settings(TrainerSettings)
    configure_logging(settings.log_level, settings.log_format)
    if settings.mlflow_tracking_password:
        # MLflow's client reads the password from the environment only; Slipway's setting may come from a file.
        os.environ["MLFLOW_TRACKING_PASSWORD"] = settings.mlflow_tracking_password.get_secret_value()
    return settings

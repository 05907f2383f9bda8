"""What the trainer can be told by environment variables."""

from typing import ClassVar

from pydantic import Field

from slipway_core.registry.settings import RegistrySettings


class TrainerSettings(RegistrySettings):
    """The trainer's settings."""

    file_fields: ClassVar[frozenset[str]] = RegistrySettings.file_fields | {"git_commit"}

    data_dir: str = Field(
        default="data",
        description="Where recipes look for data before they download it: a folder, or s3://bucket/prefix.",
    )
    git_commit: str | None = Field(
        default=None, description="The commit of the code, where that is not a checkout; images of the stack have it."
    )
    mlflow_public_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="MLflow's address in people's browsers, where it is not MLFLOW_TRACKING_URI; for links to runs.",
    )

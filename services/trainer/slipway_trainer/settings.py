"""What the trainer can be told by environment variables."""

from pathlib import Path

from pydantic import Field, SecretStr

from slipway_core.settings import ServiceSettings


class TrainerSettings(ServiceSettings):
    """The trainer's settings."""

    mlflow_tracking_uri: str = Field(
        validation_alias="MLFLOW_TRACKING_URI",
        pattern=r"^https?://",
        description="The MLflow server that runs are tracked and models are registered in.",
    )
    mlflow_tracking_username: str | None = Field(
        default=None,
        validation_alias="MLFLOW_TRACKING_USERNAME",
        description="The name, where MLflow asks for one.",
    )
    mlflow_tracking_password: SecretStr | None = Field(
        default=None,
        validation_alias="MLFLOW_TRACKING_PASSWORD",
        description="The password that goes with it.",
    )
    data_dir: Path = Field(default=Path("data"), description="Where recipes look for data before they download it.")

"""Where the model registry is: the settings of every service that opens it."""

from typing import ClassVar

from pydantic import Field, SecretStr

from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    """The MLflow server and the account to use there."""

    file_fields: ClassVar[frozenset[str]] = frozenset({"mlflow_tracking_password"})

    mlflow_tracking_uri: str = Field(
        validation_alias="MLFLOW_TRACKING_URI",
        pattern=r"^https?://",
        description="It names the MLflow server; for the stack of `slipway up` it is http://127.0.0.1:5000.",
    )
    mlflow_tracking_username: str | None = Field(
        default=None, validation_alias="MLFLOW_TRACKING_USERNAME", description="The name, where MLflow asks for one."
    )
    mlflow_tracking_password: SecretStr | None = Field(
        default=None, validation_alias="MLFLOW_TRACKING_PASSWORD", description="The password that goes with it."
    )

    def open_registry(self, timeout_seconds: float = 10.0) -> MlflowRegistry:
        """Return the registry; nothing is connected yet."""
        password = self.mlflow_tracking_password
        return MlflowRegistry(
            self.mlflow_tracking_uri,
            username=self.mlflow_tracking_username,
            password=password.get_secret_value() if password else None,
            timeout_seconds=timeout_seconds,
        )

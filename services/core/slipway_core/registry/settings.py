"""The address and account of the model registry, for every service that uses it."""

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.settings import ServiceSettings

HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}/?")


def _check_address(value: str) -> str:
    if value.startswith(("http://", "https://")):
        return value
    # An address may contain a password: repeat it only if it is a plain host and port.
    written = f"http://{value}" if HOST_AND_PORT.fullmatch(value) else "http://127.0.0.1:5000"
    raise ValueError(f"it must be the address of an MLflow server, such as {written}")


class RegistrySettings(ServiceSettings):
    """The MLflow server and the account to use there."""

    file_fields: ClassVar[frozenset[str]] = frozenset({"mlflow_tracking_password"})

    mlflow_tracking_uri: Annotated[str, AfterValidator(_check_address)] = Field(
        validation_alias="MLFLOW_TRACKING_URI",
        description="The address of the MLflow server; for `slipway up` and the compose stack, by default http://127.0.0.1:5000.",
    )
    mlflow_tracking_username: str | None = Field(
        default=None, validation_alias="MLFLOW_TRACKING_USERNAME", description="The user name, if MLflow requires one."
    )
    mlflow_tracking_password: SecretStr | None = Field(
        default=None, validation_alias="MLFLOW_TRACKING_PASSWORD", description="The password of that user."
    )

    def open_registry(self, timeout_seconds: float = 10.0) -> MlflowRegistry:
        """Return the registry, without connecting to it."""
        password = self.mlflow_tracking_password
        return MlflowRegistry(
            self.mlflow_tracking_uri,
            username=self.mlflow_tracking_username,
            password=password.get_secret_value() if password else None,
            timeout_seconds=timeout_seconds,
        )

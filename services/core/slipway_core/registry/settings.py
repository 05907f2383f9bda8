"""The address and account of the model registry, for every service that uses it."""

import re
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from slipway_core.registry.mlflow import MlflowRegistry
from slipway_core.settings import ServiceSettings
from slipway_core.signing import Signer, TrustedKeys
from slipway_core.signing.files import read_signer, read_trusted_keys

HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}/?")


def _check_address(value: str) -> str:
    if value.startswith(("http://", "https://")):
        return value
    # An address may contain a password: repeat it only if it is a plain host and port.
    written = f"http://{value}" if HOST_AND_PORT.fullmatch(value) else "http://127.0.0.1:5000"
    raise ValueError(f"it must be the address of an MLflow server, such as {written}")


class SigningSettings(ServiceSettings):
    """The keys that sign versions and promotions, and those that are trusted."""

    trusted_keys: Path | None = Field(
        default=None,
        description="A file of the public keys that may sign versions and promotions, one per line. Unsigned ones are "
        "then refused. Defaults to no verification.",
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="The file of the private key that signs, in PEM format, readable for its owner only. Defaults to "
        "no signatures.",
    )

    def signer(self) -> Signer | None:
        """Return the signer of SLIPWAY_SIGNING_KEY_FILE; None if it is not set.

        Raises:
            ConfigurationError: the file cannot be used.
        """
        return read_signer(self.signing_key_file)

    def read_trusted_keys(self) -> TrustedKeys | None:
        """Return the keys of SLIPWAY_TRUSTED_KEYS; None if it is not set.

        Raises:
            ConfigurationError: the file cannot be used.
        """
        return read_trusted_keys(self.trusted_keys)


class RegistrySettings(SigningSettings):
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

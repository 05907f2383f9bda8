"""The command line's settings from environment variables."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo

from slipway_core.errors import ConfigurationError
from slipway_core.registry.settings import RegistrySettings
from slipway_core.settings import SecretFileSource, ServiceSettings


class ClientSettings(ServiceSettings):
    """Settings of the commands that use the API."""

    file_fields: ClassVar[frozenset[str]] = frozenset({"api_key", "token"})

    url: str | None = Field(default=None, description="The API's address. Defaults to the one of `slipway login`.")
    token: SecretStr | None = Field(default=None, description="A bearer token. Defaults to the one of `slipway login`.")
    api_key: SecretStr | None = Field(default=None, description="An API key, in place of a token.")


class HomeSettings(ServiceSettings):
    """The folder of the embedded stack, for commands that need no other setting of it."""

    home: Path = Field(default=Path("~/.slipway"), description="The folder for all files of the embedded stack.")


class UpSettings(HomeSettings):
    """Settings of `slipway up`. Its options take precedence."""

    file_fields: ClassVar[frozenset[str]] = frozenset(
        {"admin_password", "database_url", "mlflow_backend_store_uri", "secret_key"}
    )

    host: str = Field(default="127.0.0.1", description="The address that the API listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="The port that the API listens on.")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="The port that MLflow listens on.")
    workers: int = Field(default=1, ge=1, le=64, description="The number of the API's worker processes.")
    admin_username: str = Field(default="admin", description="The first administrator's name.")
    admin_password: SecretStr | None = Field(
        default=None, description="The first administrator's password. Random by default."
    )
    default_model: str | None = Field(
        default=None, description="The model of /predict. Defaults to the first recipe's."
    )
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="Slipway's database. Defaults to SQLite in the folder.",
    )
    mlflow_backend_store_uri: SecretStr | None = Field(
        default=None,
        validation_alias="MLFLOW_BACKEND_STORE_URI",
        description="MLflow's database. Defaults to SQLite in the folder.",
    )
    mlflow_artifacts_destination: str | None = Field(
        default=None,
        validation_alias="MLFLOW_ARTIFACTS_DESTINATION",
        description="MLflow's artifact store, a folder or s3://bucket/prefix. Defaults to the stack's folder.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        validation_alias="SECRET_KEY",
        description="The key that signs tokens. Defaults to a random key stored in the folder.",
    )


class _ReadableFileSource(SecretFileSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        try:
            return super().get_field_value(field, field_name)
        except ConfigurationError:
            return None, field_name, False


class DoctorSettings(UpSettings, RegistrySettings):
    """Settings of `slipway doctor`: all settings of the services on this machine.

    All are optional. An unreadable file yields no value; the checks report it.
    """

    file_fields: ClassVar[frozenset[str]] = UpSettings.file_fields | RegistrySettings.file_fields | {"api_key", "token"}
    file_source: ClassVar[type[SecretFileSource]] = _ReadableFileSource

    env: Literal["production", "development"] = Field(
        default="production", description="`development` allows placeholders and short keys."
    )
    cache_dir: Path = Field(default=Path(".slipway-cache"), description="The API's cache of bundles.")
    data_dir: str | None = Field(default=None, description="Where recipes search for data before they download it.")
    mlflow_tracking_uri: str = Field(
        default="",
        validation_alias="MLFLOW_TRACKING_URI",
        description="The MLflow server. Defaults to that of the embedded stack.",
    )
    token: SecretStr | None = Field(default=None, description="A bearer token of the API.")
    api_key: SecretStr | None = Field(default=None, description="An API key.")
    allow_unverified_models: bool = Field(
        default=False, description="Whether the API serves ONNX models that Slipway's trainer did not register."
    )

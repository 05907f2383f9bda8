"""What the command line can be told by environment variables."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo

from slipway_core.errors import ConfigurationError
from slipway_core.registry.settings import RegistrySettings
from slipway_core.settings import SecretFileSource, ServiceSettings


class ClientSettings(ServiceSettings):
    """How the commands that work over the API find it."""

    file_fields: ClassVar[frozenset[str]] = frozenset({"token"})

    url: str | None = Field(default=None, description="The API's address; else the one of `slipway login`.")
    token: SecretStr | None = Field(default=None, description="A bearer token; else the one of `slipway login`.")


class UpSettings(ServiceSettings):
    """What `slipway up` takes from the environment; its options win."""

    file_fields: ClassVar[frozenset[str]] = frozenset(
        {"admin_password", "database_url", "mlflow_backend_store_uri", "secret_key"}
    )

    home: Path = Field(default=Path("~/.slipway"), description="The folder that the embedded stack writes to.")
    host: str = Field(default="127.0.0.1", description="The address that the API listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="The port that the API listens on.")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="The port that its MLflow listens on.")
    workers: int = Field(default=1, ge=1, le=64, description="How many processes answer.")
    admin_username: str = Field(default="admin", description="The first administrator's name.")
    admin_password: SecretStr | None = Field(
        default=None, description="The first administrator's password; random where none is given."
    )
    default_model: str | None = Field(default=None, description="The model of /predict; else the first recipe's.")
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="Slipway's database; else SQLite in the folder.",
    )
    mlflow_backend_store_uri: SecretStr | None = Field(
        default=None,
        validation_alias="MLFLOW_BACKEND_STORE_URI",
        description="The database of its MLflow; else SQLite in the folder.",
    )
    mlflow_artifacts_destination: str | None = Field(
        default=None,
        validation_alias="MLFLOW_ARTIFACTS_DESTINATION",
        description="Where its MLflow keeps artifacts, a folder or s3://bucket/prefix; else in the folder.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        validation_alias="SECRET_KEY",
        description="Signs the tokens; else a random one is kept.",
    )


class _ReadableFileSource(SecretFileSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        try:
            return super().get_field_value(field, field_name)
        except ConfigurationError:
            return None, field_name, False


class DoctorSettings(UpSettings, RegistrySettings):
    """What `slipway doctor` looks at: the settings of all services that a machine may be told.

    Nothing of it is required, and a file that cannot be read gives no value: the checks say so, one by one.
    """

    file_fields: ClassVar[frozenset[str]] = UpSettings.file_fields | RegistrySettings.file_fields | {"token"}
    file_source: ClassVar[type[SecretFileSource]] = _ReadableFileSource

    env: Literal["production", "development"] = Field(
        default="production", description="`development` allows placeholders and short keys."
    )
    cache_dir: Path = Field(default=Path(".slipway-cache"), description="Where the API keeps bundles.")
    data_dir: str | None = Field(default=None, description="Where recipes look for data before they download it.")
    mlflow_tracking_uri: str = Field(
        default="",
        validation_alias="MLFLOW_TRACKING_URI",
        description="The MLflow server; else that of the embedded stack.",
    )
    token: SecretStr | None = Field(default=None, description="A bearer token of the API.")
    allow_unverified_models: bool = Field(
        default=False, description="Whether the API serves ONNX models that Slipway's trainer did not register."
    )

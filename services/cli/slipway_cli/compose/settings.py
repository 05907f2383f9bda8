"""What the compose stack's first job can be told by environment variables."""

from typing import ClassVar

from pydantic import Field, SecretStr

from slipway_core.registry.settings import RegistrySettings


class InitSettings(RegistrySettings):
    """The settings of the job that prepares the stack."""

    file_fields: ClassVar[frozenset[str]] = RegistrySettings.file_fields | {
        "admin_password",
        "database_url",
    }

    database_url: SecretStr = Field(validation_alias="DATABASE_URL", description="Slipway's own database.")
    admin_username: str = Field(default="admin", description="The first administrator's name.")
    admin_password: SecretStr = Field(description="The first administrator's password, which is shown once.")
    port: int = Field(default=8000, description="The API's port on the host.")
    mlflow_port: int = Field(default=5000, description="MLflow's port on the host.")
    grafana_port: int = Field(default=3000, description="Grafana's port on the host.")
    prometheus_port: int = Field(default=9090, description="Prometheus' port on the host.")
    alertmanager_port: int = Field(default=9093, description="Alertmanager's port on the host.")
    minio_port: int = Field(default=9000, description="MinIO's port on the host: S3.")
    minio_console_port: int = Field(default=9001, description="The port of MinIO's console on the host.")

"""What the one-shot jobs of the compose stack can be told by environment variables."""

import re
from email.utils import getaddresses
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from slipway_core.registry.settings import RegistrySettings
from slipway_core.settings import ServiceSettings

# The port of SMTP that is TLS from the first byte (RFC 8314).
IMPLICIT_TLS_PORT = 465


def _plain(value: str) -> str:
    if "{{" in value:
        raise ValueError("it must not contain {{, which Alertmanager takes for a template")
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", value):
        raise ValueError("write the mail server as host:port, such as mail.example.com:587")
    return value


def _mailboxes(value: str) -> str:
    _plain(value)
    if not all(re.fullmatch(r"[^@\s]+@[^@\s]+", mailbox) for _, mailbox in getaddresses([value])):
        raise ValueError("write e-mail addresses as ops@example.com, several separated by commas")
    return value


def _mailbox(value: str) -> str:
    if len(getaddresses([value])) != 1:
        raise ValueError("it must be one e-mail address, such as slipway@example.com")
    return _mailboxes(value)


def _url(value: SecretStr) -> SecretStr:
    if not re.match(r"https?://[^\s/]", value.get_secret_value()):
        raise ValueError("it must be an address that begins with https:// or http://")
    _plain(value.get_secret_value())
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value):
        raise ValueError("write a host name without scheme, port and path, such as ml.example.com")
    return value


Plain = Annotated[str, AfterValidator(_plain)]
Url = Annotated[SecretStr, AfterValidator(_url)]


class AlertSettings(ServiceSettings):
    """The receivers of alerts. Without a receiver, alerts are visible only in Alertmanager and Grafana."""

    file_fields: ClassVar[frozenset[str]] = frozenset(
        {"alert_smtp_password", "alert_slack_url", "alert_webhook_url", "alert_heartbeat_url"}
    )

    alert_email_to: Annotated[str, AfterValidator(_mailboxes)] | None = Field(
        default=None, description="Who gets e-mail; addresses separated by commas."
    )
    alert_email_from: Annotated[str, AfterValidator(_mailbox)] | None = Field(
        default=None, description="Whom it comes from: one address."
    )
    alert_smtp_host: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None, description="The mail server that takes it, as host:port."
    )
    alert_smtp_username: str | None = Field(default=None, description="The account there, if it asks for one.")
    alert_smtp_password: SecretStr | None = Field(default=None, description="The account's password.")
    alert_smtp_tls: bool = Field(
        default=True, description="Refuse to send without TLS: by STARTTLS, or from the first byte on port 465."
    )
    alert_slack_url: Url | None = Field(default=None, description="An incoming webhook of Slack.")
    alert_slack_channel: Plain | None = Field(
        default=None, description="The channel, such as #alerts; else the webhook's own."
    )
    alert_webhook_url: Url | None = Field(
        default=None, description="Gets Alertmanager's JSON by POST, such as that of an on-call service."
    )
    alert_webhook_min_severity: Literal["warning", "critical"] = Field(
        default="warning", description="The least severity that the webhook gets."
    )
    alert_heartbeat_url: Url | None = Field(
        default=None, description="Called every minute while alerts work: a dead man's switch that misses it tells you."
    )
    alert_runbook_url: Plain = Field(
        default="", description="Prefix of docs/monitoring.md in notifications, which makes the runbook a link."
    )
    alert_group_wait_seconds: int = Field(
        default=10, ge=0, description="How long the first alert waits for others that belong to it."
    )
    alert_group_interval_seconds: int = Field(
        default=60, ge=1, description="Shortest time until a change of a group, or its end, is sent."
    )
    alert_repeat_seconds: int = Field(
        default=14400,
        ge=60,
        description="Time until a critical alert is sent again; three times as long for a warning.",
    )

    @property
    def is_tls_from_the_first_byte(self) -> bool:
        """Whether the mail server's port is one where STARTTLS has no place."""
        return self.alert_smtp_host is not None and self.alert_smtp_host.endswith(f":{IMPLICIT_TLS_PORT}")

    @model_validator(mode="after")
    def _check_completeness(self) -> Self:
        email = {
            "SLIPWAY_ALERT_EMAIL_TO": self.alert_email_to,
            "SLIPWAY_ALERT_EMAIL_FROM": self.alert_email_from,
            "SLIPWAY_ALERT_SMTP_HOST": self.alert_smtp_host,
        }
        account = {
            "SLIPWAY_ALERT_SMTP_USERNAME": self.alert_smtp_username,
            "SLIPWAY_ALERT_SMTP_PASSWORD": self.alert_smtp_password,
        }
        given = [name for name, value in (email | account).items() if value is not None]
        needed = [*email, *(account if any(name in account for name in given) else ())]
        missing = [name for name in needed if name not in given]
        if given and missing:
            raise ValueError(f"{given[0]} is set, and {' and '.join(missing)} must be, too, to send e-mail")
        if self.alert_smtp_username and not (self.alert_smtp_tls or self.is_tls_from_the_first_byte):
            raise ValueError(
                "SLIPWAY_ALERT_SMTP_PASSWORD would be sent without TLS; set SLIPWAY_ALERT_SMTP_TLS to true, or take "
                "the account out"
            )
        if self.alert_slack_channel and not self.alert_slack_url:
            raise ValueError("SLIPWAY_ALERT_SLACK_CHANNEL is set, and SLIPWAY_ALERT_SLACK_URL must be, too")
        return self


class HttpsSettings(ServiceSettings):
    """The settings of the proxy that terminates TLS."""

    domain: Annotated[str, AfterValidator(_host)] | None = Field(
        default=None, description="The API's name in clients' URLs; if set, Caddy serves HTTPS under it."
    )
    http_port: int = Field(default=80, ge=1, le=65535, description="Caddy's port on the host that redirects to HTTPS.")
    https_port: int = Field(default=443, ge=1, le=65535, description="Caddy's port on the host for HTTPS.")


class InitSettings(RegistrySettings, HttpsSettings):
    """The settings of the job that prepares the stack."""

    file_fields: ClassVar[frozenset[str]] = RegistrySettings.file_fields | {
        "admin_password",
        "database_url",
    }

    database_url: SecretStr = Field(validation_alias="DATABASE_URL", description="Slipway's own database.")
    admin_username: str = Field(default="admin", description="The first administrator's name.")
    admin_password: SecretStr = Field(description="The first administrator's password, which is shown once.")
    bind_address: str = Field(
        default="",
        description="The host's address of the API's port; empty: 127.0.0.1 with HTTPS, every address without it.",
    )
    port: int = Field(default=8000, description="The API's port on the host.")
    mlflow_port: int = Field(default=5000, description="MLflow's port on the host.")
    grafana_port: int = Field(default=3000, description="Grafana's port on the host.")
    prometheus_port: int = Field(default=9090, description="Prometheus' port on the host.")
    alertmanager_port: int = Field(default=9093, description="Alertmanager's port on the host.")
    minio_port: int = Field(default=9000, description="MinIO's port on the host: S3.")
    minio_console_port: int = Field(default=9001, description="The port of MinIO's console on the host.")

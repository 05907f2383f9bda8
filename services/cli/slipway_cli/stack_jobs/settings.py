"""The settings of the compose stack's one-shot jobs, from environment variables."""

import re
from email.utils import getaddresses
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from slipway_core.registry.settings import RegistrySettings
from slipway_core.settings import ServiceSettings

# The port for SMTP with implicit TLS (RFC 8314).
IMPLICIT_TLS_PORT = 465


def _plain(value: str) -> str:
    if "{{" in value:
        raise ValueError("it must not contain {{, which starts a template in Alertmanager")
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
        default=None, description="The recipients of e-mail: addresses separated by commas."
    )
    alert_email_from: Annotated[str, AfterValidator(_mailbox)] | None = Field(
        default=None, description="The sender's address of e-mail."
    )
    alert_smtp_host: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None, description="The mail server, as host:port."
    )
    alert_smtp_username: str | None = Field(default=None, description="The account on the mail server, if required.")
    alert_smtp_password: SecretStr | None = Field(default=None, description="The password of that account.")
    alert_smtp_tls: bool = Field(
        default=True, description="Whether TLS is required: STARTTLS, or implicit TLS on port 465."
    )
    alert_slack_url: Url | None = Field(default=None, description="The URL of a Slack webhook.")
    alert_slack_channel: Plain | None = Field(
        default=None, description="The channel, such as #alerts. Defaults to that of the webhook."
    )
    alert_webhook_url: Url | None = Field(
        default=None, description="A URL to which Alertmanager posts its JSON, such as that of an on-call service."
    )
    alert_webhook_min_severity: Literal["warning", "critical"] = Field(
        default="warning", description="The lowest severity that is sent to the webhook."
    )
    alert_heartbeat_url: Url | None = Field(
        default=None, description="A dead man's switch: called every minute while alerting works."
    )
    alert_runbook_url: Plain = Field(
        default="", description="The URL prefix of docs/monitoring.md, for links to runbooks in notifications."
    )
    alert_group_wait_seconds: int = Field(
        default=10, ge=0, description="How long a first alert waits for related alerts."
    )
    alert_group_interval_seconds: int = Field(
        default=60, ge=1, description="The minimum time between notifications of the same group."
    )
    alert_repeat_seconds: int = Field(
        default=14400,
        ge=60,
        description="The time after which a critical alert is sent again; three times as long for a warning.",
    )

    @property
    def is_tls_from_the_first_byte(self) -> bool:
        """Whether the port of the mail server uses implicit TLS, without STARTTLS."""
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
            raise ValueError(f"{given[0]} is set, but sending e-mail also requires {' and '.join(missing)}")
        if self.alert_smtp_username and not (self.alert_smtp_tls or self.is_tls_from_the_first_byte):
            raise ValueError(
                "SLIPWAY_ALERT_SMTP_PASSWORD would be sent without TLS: set SLIPWAY_ALERT_SMTP_TLS to true, or unset "
                "the account"
            )
        if self.alert_slack_channel and not self.alert_slack_url:
            raise ValueError("SLIPWAY_ALERT_SLACK_CHANNEL also requires SLIPWAY_ALERT_SLACK_URL")
        return self


class HttpsSettings(ServiceSettings):
    """The settings of the proxy that terminates TLS."""

    domain: Annotated[str, AfterValidator(_host)] | None = Field(
        default=None, description="The API's host name in URLs; if set, Caddy serves HTTPS for it."
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
    admin_password: SecretStr = Field(description="The first administrator's password, shown once.")
    bind_address: str = Field(
        default="",
        description="The host's address of the API's port. Defaults to 127.0.0.1 with HTTPS, all addresses otherwise.",
    )
    port: int = Field(default=8000, description="The API's port on the host.")
    mlflow_port: int = Field(default=5000, description="MLflow's port on the host.")
    grafana_port: int = Field(default=3000, description="Grafana's port on the host.")
    prometheus_port: int = Field(default=9090, description="Prometheus' port on the host.")
    alertmanager_port: int = Field(default=9093, description="Alertmanager's port on the host.")
    minio_port: int = Field(default=9000, description="MinIO's port on the host: S3.")
    minio_console_port: int = Field(default=9001, description="The port of MinIO's console on the host.")

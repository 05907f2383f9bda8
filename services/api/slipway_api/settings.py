"""The API's settings, read from environment variables."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from slipway_api.serving.followed import MAX_CANDIDATES
from slipway_api.serving.model_ref import ModelRef
from slipway_core.errors import ConfigurationError
from slipway_core.policy import why_key_is_unsafe, why_name_is_refused, why_password_is_unsafe
from slipway_core.registry.settings import RegistrySettings

# A scheme, a host and an optional port (RFC 6454, section 6.2).
ORIGIN_PATTERN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s,]+")

# The limit of a worker's memory for large request bodies, from their arrival until the end of the request. A single
# body must fit.
MAX_LARGE_BYTES = 256 * 1024 * 1024


class ApiSettings(RegistrySettings):
    """The API's settings."""

    # These may also come from the file that `NAME_FILE` names.
    file_fields: ClassVar[frozenset[str]] = RegistrySettings.file_fields | {
        "secret_key",
        "database_url",
        "admin_password",
    }

    env: Literal["production", "development"] = Field(
        default="production",
        description="`development` only disables the check of secrets: it allows placeholders and short keys.",
    )
    host: str = Field(default="127.0.0.1", description="The listening address.")
    port: int = Field(default=8000, ge=0, le=65535, description="The listening port.")

    workers: int = Field(
        default=1, ge=1, le=64, description="Number of worker processes; more than 1 requires PostgreSQL."
    )
    forwarded_allow_ips: str = Field(
        default="127.0.0.1,::1",
        validation_alias="FORWARDED_ALLOW_IPS",
        description="Trusted proxies for X-Forwarded-For and -Proto: addresses and networks, or `*`.",
    )

    secret_key: SecretStr = Field(
        validation_alias="SECRET_KEY",
        description="A key that signs the tokens (HS256): at least 32 random characters. `slipway env` generates one.",
    )
    token_ttl_seconds: int = Field(default=3600, ge=1, description="Lifetime of a token.")
    api_key_max_days: int | None = Field(
        default=None, ge=1, le=36_500, description="Longest lifetime of an API key; by default, keys may never expire."
    )
    auth_stale_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How long the last read accounts stay valid while the database is unavailable.",
    )
    registration: Literal["closed", "open"] = Field(
        default="closed",
        description="With `open`, anyone can register with the role `user`; with `closed`, only admins add accounts.",
    )
    login_max_failures: int = Field(
        default=10, ge=1, description="Failed logins per name and window; further ones get status 429."
    )
    login_max_failures_per_address: int = Field(
        default=50, ge=1, description="Failed logins per client address, or per /64 network for IPv6."
    )
    login_window_seconds: int = Field(
        default=300, ge=1, le=86_400, description="Length of the window, from its first failed login."
    )
    admin_username: str = Field(default="admin", description="Name of the first administrator.")
    admin_password: SecretStr | None = Field(
        default=None,
        description="Password of the first administrator, who is created if no account exists; ignored afterwards.",
    )
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///slipway.db"),
        validation_alias="DATABASE_URL",
        description="Slipway's own database: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.",
    )

    registry_poll_seconds: float = Field(
        default=2.0, gt=0, description="Interval for polling the registry's Production aliases."
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Models to serve, separated by commas: `iris` follows Production, `iris@7` is pinned to version 7. "
        "Defaults to every model with a Production alias.",
    )
    default_model: str = Field(
        default="iris",
        description="Model for /predict and /model-info. If unset, the only unpinned model in SLIPWAY_MODELS.",
    )
    max_candidates: int = Field(
        default=MAX_CANDIDATES,
        ge=0,
        le=100,
        description="How many candidates of a model are served: the newest versions with an alias `candidate-…`. "
        "Each one takes memory.",
    )
    allow_unverified_models: bool = Field(
        default=False,
        description="Serve ONNX models that another tool registered, with MLflow's signature as the only description.",
    )
    cache_dir: Path = Field(
        default=Path(".slipway-cache"),
        description="Folder of cached bundles, with which the API can start without the registry.",
    )

    prediction_log: bool = Field(default=True, description="Whether to store predictions; they have ids in any case.")
    journal_dir: Path = Field(
        default=Path(".slipway-journal"),
        description="Folder of predictions that wait for the database, on a persistent local disk.",
    )
    journal_max_bytes: int = Field(
        default=1024**3,
        ge=1024**2,
        description="Size limit of that folder. When it is reached, further predictions are not stored.",
    )
    redacted_features: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Features whose values are not stored, separated by commas; `*` for all.",
    )
    prediction_retention_days: int = Field(
        default=90, ge=0, le=36_500, description="Retention of predictions and feedback; 0 to keep them forever."
    )
    live_window_seconds: float = Field(
        default=7 * 86_400, gt=0, le=3_153_600_000, description="Window of the live accuracy and errors."
    )

    range_warnings: bool = Field(
        default=True, description="Report values outside the trained range in the response to a prediction."
    )
    max_body_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1,
        le=MAX_LARGE_BYTES,
        description="Size limit of a prediction's body after decompression; other bodies are limited to 64 KiB.",
    )
    max_rows: int = Field(default=10_000, ge=1, description="Maximum rows per request.")
    max_requests_in_flight: int = Field(
        default=512, ge=1, description="Maximum concurrent requests per worker; further ones get status 503."
    )
    max_waiting: int = Field(
        default=64, ge=0, description="Queue length of large or slow requests per model; further ones get status 503."
    )
    request_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Timeout of a request, including the arrival of its body; status 504."
    )
    predictions_per_minute: float = Field(
        default=0.0, ge=0, description="Rate limit per account, divided among the workers; 0 for no limit."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins allowed to call the API from a browser, separated by commas. Defaults to none."
    )
    metrics_public: bool = Field(
        default=False, description="Serve /metrics to every address instead of only to loopback and private ones."
    )

    @field_validator("models", "cors_origins", "redacted_features", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        return value

    @field_validator("models")
    @classmethod
    def _check_models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ModelRef.parse(text)
        return value

    @field_validator("default_model")
    @classmethod
    def _check_default_is_no_version(cls, value: str) -> str:
        if ModelRef.parse(value).is_pinned:
            raise ValueError("the default model must not have a version: write iris instead of iris@7")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(origin.rstrip("/") for origin in value)
        for origin in origins:
            if origin != "*" and not ORIGIN_PATTERN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write scheme, host and port, as https://app.example.com"
                )
        return origins

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        for proxy in [] if value.strip() == "*" else value.split(","):
            try:
                ipaddress.ip_network(proxy.strip())
            except ValueError as error:
                raise ValueError(
                    f"{proxy.strip()!r} is not an address or network: write for example 10.0.0.7,10.0.0.0/24, "
                    "or * alone"
                ) from error
        return value.strip()

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: SecretStr) -> SecretStr:
        backend = value.get_secret_value().partition(":")[0].partition("+")[0]
        if backend not in {"sqlite", "postgresql", "postgres"}:
            raise ValueError("write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
        return value

    @field_validator("admin_username")
    @classmethod
    def _lower_name(cls, value: str) -> str:
        name = value.strip().lower()
        if why := why_name_is_refused(name):
            raise ValueError(why)
        return name

    @property
    def predicting_model(self) -> str:
        """The default model of /predict and /model-info."""
        named = [ref.name for ref in map(ModelRef.parse, self.models) if not ref.is_pinned]
        is_clear = len(named) == 1 and "default_model" not in self.model_fields_set
        return named[0] if is_clear else self.default_model

    @model_validator(mode="after")
    def _check_default_model(self) -> Self:
        # The default value need not be among the named models.
        is_set = "default_model" in self.model_fields_set
        if is_set and self.models and self.default_model not in self.models:
            raise ValueError(
                f"SLIPWAY_DEFAULT_MODEL is {self.default_model}, which SLIPWAY_MODELS does not name: add it there, or "
                "set one of those models as the default"
            )
        return self

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if self.workers > 1 and self.database_url.get_secret_value().startswith("sqlite"):
            raise ValueError(
                f"{self.workers} workers need a database for concurrent processes: set DATABASE_URL to "
                "postgresql://USER:PASSWORD@HOST/NAME, or SLIPWAY_WORKERS to 1"
            )
        return self

    @model_validator(mode="after")
    def _reject_unsafe_key(self) -> Self:
        if self.env == "production" and (why := why_key_is_unsafe(self.secret_key.get_secret_value())):
            raise ValueError(f"SECRET_KEY {why}; `slipway env` generates a random one")
        return self

    def require_safe_admin_password(self) -> None:
        """Raise ConfigurationError for an unsafe password of the first administrator, except in development.

        Not part of the validation, because it takes too long for the start of the server.
        """
        if self.env != "production" or self.admin_password is None:
            return
        if why := why_password_is_unsafe(self.admin_password.get_secret_value(), self.admin_username):
            raise ConfigurationError(f"SLIPWAY_ADMIN_PASSWORD {why}; `slipway env` generates a random one")

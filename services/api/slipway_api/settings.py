"""What the API can be told by environment variables."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from slipway_api.serving.model_ref import ModelRef
from slipway_core.policy import (
    is_placeholder_password,
    why_key_is_unsafe,
    why_name_is_refused,
    why_password_is_unsafe,
)
from slipway_core.registry.settings import RegistrySettings

# A scheme, a host, perhaps a port (RFC 6454, section 6.2).
ORIGIN_PATTERN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s,]+")

# What bodies that are no small ones may hold of a worker's memory, as far as they have arrived, and while they are
# worked on. One alone must fit.
MAX_LARGE_BYTES = 256 * 1024 * 1024


class ApiSettings(RegistrySettings):
    """The API's settings."""

    # These may come from the file that `NAME_FILE` names, too.
    file_fields: ClassVar[frozenset[str]] = RegistrySettings.file_fields | {
        "secret_key",
        "database_url",
        "admin_password",
    }

    env: Literal["production", "development"] = Field(
        default="production",
        description="`development` allows placeholders and short keys; nothing else changes.",
    )
    host: str = Field(default="127.0.0.1", description="The address that the API listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="The port that the API listens on.")

    workers: int = Field(
        default=1, ge=1, le=64, description="How many processes answer; above 1 the database must be PostgreSQL."
    )
    forwarded_allow_ips: str = Field(
        default="127.0.0.1,::1",
        validation_alias="FORWARDED_ALLOW_IPS",
        description="The proxies whose X-Forwarded-For and -Proto are believed: addresses, networks, or `*`.",
    )

    secret_key: SecretStr = Field(
        validation_alias="SECRET_KEY",
        description="Signs the tokens (HS256): 32 characters or more, random. `slipway env` makes one.",
    )
    token_ttl_seconds: int = Field(default=3600, ge=1, description="How long a token is valid.")
    auth_stale_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How long accounts that were read last hold while the database is away.",
    )
    registration: Literal["closed", "open"] = Field(
        default="closed", description="`open` lets anybody register, with the role `user`; else admins add accounts."
    )
    login_max_failures: int = Field(
        default=10, ge=1, description="How many failed logins a name may have in a window; more are answered 429."
    )
    login_max_failures_per_address: int = Field(
        default=50, ge=1, description="How many a client's address may have; of IPv6, its /64 network."
    )
    login_window_seconds: int = Field(
        default=300, ge=1, le=86_400, description="How long after the first of them failed logins count."
    )
    admin_username: str = Field(default="admin", description="The first administrator's name.")
    admin_password: SecretStr | None = Field(
        default=None,
        description="Makes the first administrator if there is no account yet; it is not looked at again.",
    )
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///slipway.db"),
        validation_alias="DATABASE_URL",
        description="Slipway's own database: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.",
    )

    registry_poll_seconds: float = Field(
        default=2.0, gt=0, description="How often the registry's Production aliases are looked at."
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="The models to serve, separated by commas: `iris` follows Production, `iris@7` is that version for "
        "good; empty: every one with a Production alias.",
    )
    default_model: str = Field(
        default="iris",
        description="The model that /predict and /model-info use; else the only one that SLIPWAY_MODELS names.",
    )
    allow_unverified_models: bool = Field(
        default=False,
        description="Serve ONNX models that Slipway's trainer did not register, by MLflow's signature alone.",
    )
    cache_dir: Path = Field(
        default=Path(".slipway-cache"),
        description="Where bundles are kept, so that a start needs no registry.",
    )

    prediction_log: bool = Field(default=True, description="`false` keeps no predictions; they have ids all the same.")
    journal_dir: Path = Field(
        default=Path(".slipway-journal"),
        description="Where predictions wait for the database: a folder on a local disk that outlives the process.",
    )
    journal_max_bytes: int = Field(
        default=1024**3,
        ge=1024**2,
        description="How large that folder may grow while the database is away; beyond it, predictions are not kept.",
    )
    redacted_features: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Features whose values are not kept, separated by commas; `*` for all.",
    )
    prediction_retention_days: int = Field(
        default=90, ge=0, le=36_500, description="How long predictions and feedback are kept; 0: for ever."
    )
    live_window_seconds: float = Field(
        default=7 * 86_400, gt=0, le=3_153_600_000, description="The window of the live accuracy and errors."
    )

    range_warnings: bool = Field(
        default=True, description="Name the values outside the trained range in the answer of a prediction."
    )
    max_body_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1,
        le=MAX_LARGE_BYTES,
        description="The largest body that is predicted from; no other body may be larger than 64 KiB.",
    )
    max_rows: int = Field(default=10_000, ge=1, description="The most rows in one request.")
    max_requests_in_flight: int = Field(
        default=512, ge=1, description="The most requests that one worker has under way; more are answered 503."
    )
    max_waiting: int = Field(
        default=64, ge=0, description="The most large or slow requests of a model that wait for a thread; more: 503."
    )
    request_timeout_seconds: float = Field(
        default=30.0, gt=0, description="How long a request may take, its body's arrival included; then 504."
    )
    predictions_per_minute: float = Field(
        default=0.0, ge=0, description="How often one account may predict, shared among the workers; 0: no limit."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="The origins whose pages a browser lets call the API, separated by commas; none."
    )
    metrics_public: bool = Field(
        default=False, description="Answer /metrics to every address, not only to loopback and private ones."
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
            raise ValueError("name a model, which follows Production, and not one of its versions")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _as_browsers_write_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(origin.rstrip("/") for origin in value)
        for origin in origins:
            if origin != "*" and not ORIGIN_PATTERN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: write scheme, host and port, as https://app.example.com")
        return origins

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        for proxy in [] if value.strip() == "*" else value.split(","):
            try:
                ipaddress.ip_network(proxy.strip())
            except ValueError as error:
                raise ValueError(
                    f"{proxy.strip()!r} is no address or network: write such as 10.0.0.7 or 10.0.0.0/24, separated by "
                    "commas, or * alone"
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
        """The model that /predict and /model-info use."""
        named = [ref.name for ref in map(ModelRef.parse, self.models) if not ref.is_pinned]
        is_clear = len(named) == 1 and "default_model" not in self.model_fields_set
        return named[0] if is_clear else self.default_model

    @model_validator(mode="after")
    def _check_default_model(self) -> Self:
        # Only one that was asked for: where models are named, the default's default need not be among them.
        is_asked_for = "default_model" in self.model_fields_set
        if is_asked_for and self.models and self.default_model not in self.models:
            raise ValueError(
                f"SLIPWAY_DEFAULT_MODEL is {self.default_model}, which SLIPWAY_MODELS does not name: add it there, or "
                "name one of those as the default"
            )
        return self

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if self.workers > 1 and self.database_url.get_secret_value().startswith("sqlite"):
            raise ValueError(
                f"{self.workers} workers need a database that several processes can write: set DATABASE_URL to "
                "postgresql://USER:PASSWORD@HOST/NAME, or SLIPWAY_WORKERS to 1"
            )
        return self

    @model_validator(mode="after")
    def _refuse_unsafe_secrets(self) -> Self:
        if self.env != "production":
            return self
        if why := why_key_is_unsafe(self.secret_key.get_secret_value()):
            raise ValueError(f"SECRET_KEY {why}; `slipway env` makes a random one")
        if self.admin_password is not None:
            password = self.admin_password.get_secret_value()
            why = why_password_is_unsafe(password, self.admin_username)
            if why is None and is_placeholder_password(password):
                why = "is a placeholder"
            if why:
                raise ValueError(f"SLIPWAY_ADMIN_PASSWORD {why}; `slipway env` makes a random one")
        return self

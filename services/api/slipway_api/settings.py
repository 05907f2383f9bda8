"""What the API can be told by environment variables."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from slipway_core.policy import (
    NAME_PATTERN,
    NAME_RULE,
    is_placeholder_password,
    why_key_is_unsafe,
    why_password_is_unsafe,
)
from slipway_core.registry.settings import RegistrySettings


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
        description="The models to serve, separated by commas; empty: every one with a Production alias.",
    )
    default_model: str = Field(default="iris", description="The model that /predict and /model-info use.")
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

    max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1, description="The largest request body.")
    max_rows: int = Field(default=10_000, ge=1, description="The most rows in one request.")
    metrics_public: bool = Field(
        default=False, description="Answer /metrics to every address, not only to loopback and private ones."
    )

    @field_validator("models", "redacted_features", mode="before")
    @classmethod
    def _split_models(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        return value

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
        if not NAME_PATTERN.fullmatch(name):
            raise ValueError(NAME_RULE)
        return name

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

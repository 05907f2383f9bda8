"""The base class of every service's settings: read once from the environment, immutable, without unknown variables."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from slipway_core.errors import ConfigurationError
from slipway_core.validation import words_of
from slipway_core.variables import FILE_VARIABLES, PREFIX, UNPREFIXED, VARIABLES

FILE_SUFFIX = "_FILE"

S = TypeVar("S", bound="ServiceSettings")


class SecretFileSource(PydanticBaseSettingsSource):
    """Reads `NAME` from the file that `NAME_FILE` names, as Docker and Kubernetes mount secrets.

    Only for the fields in `file_fields` of a settings class. If both are set, `NAME` takes precedence.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return (value, key, is_complex) of one field, with the value None if its variable names no file."""
        variable = variable_of(self.settings_cls, field_name) + FILE_SUFFIX
        path = os.environ.get(variable)
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip() or None, field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{variable} names a file that cannot be read: {path}") from error

    def __call__(self) -> dict[str, Any]:
        """Return the values from files, by field name."""
        found = {}
        for name in getattr(self.settings_cls, "file_fields", frozenset()):
            field = self.settings_cls.model_fields[name]
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                # The environment's source uses the same key, so that the environment takes precedence.
                alias = field.validation_alias
                found[alias if isinstance(alias, str) else name] = value
        return found


class ServiceSettings(BaseSettings):
    """The settings of every service: how to log. Each field has a description, also in subclasses."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        populate_by_name=True,
        # A traceback would otherwise show invalid values, including secrets.
        hide_input_in_errors=True,
    )

    # The source that reads the files named by `*_FILE`.
    file_source: ClassVar[type[SecretFileSource]] = SecretFileSource

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The lowest severity of log events that are written."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="`json`: one object per line; `text`: for people; `auto`: text on a terminal, json otherwise.",
    )

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, the environment, files named by `*_FILE`."""
        return init_settings, env_settings, cls.file_source(settings_cls)


def variable_of(settings: type[BaseSettings], field_name: str) -> str:
    """Return the environment variable that sets a field: its alias, or the prefixed name."""
    alias = settings.model_fields[field_name].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field_name.upper()


def reject_unknown_variables(environ: Mapping[str, str]) -> None:
    """Raise ConfigurationError if a variable has Slipway's prefix and no service uses it."""
    known = VARIABLES | {name + FILE_SUFFIX for name in FILE_VARIABLES}
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    if not unknown:
        return
    sentences = []
    for name in unknown:
        bare = name.removeprefix(PREFIX)
        near = [bare] if bare in UNPREFIXED else difflib.get_close_matches(name, VARIABLES, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; see .env.example for all settings."
        sentences.append(f"{name} is not a setting of Slipway{hint}")
    raise ConfigurationError(" ".join(sentences))


def load_settings(settings: type[S], **overrides: Any) -> S:  # noqa: ANN401  # any field's value
    """Build a service's settings from the environment; `overrides` take precedence.

    Raises:
        ConfigurationError: a variable is unknown, missing or invalid. The message names each one, never its value.
    """
    reject_unknown_variables(os.environ)
    try:
        return settings(**overrides)
    except ValidationError as error:
        sentences = []
        fields = {key: name for name in settings.model_fields for key in (name, variable_of(settings, name))}
        for item in error.errors(include_input=False, include_url=False):
            # Pydantic names a field by its alias if it has one.
            field = fields.get(str(item["loc"][0]) if item["loc"] else "", "")
            name = variable_of(settings, field) if field else ""
            message = words_of(item)
            if item["type"] == "missing":
                sentences.append(f"{name} is not set. {_advice(settings.model_fields[field].description or '')}")
            else:
                sentences.append(f"{name}: {message}" if name else message)
        *others, last = sentences
        raise ConfigurationError("; ".join([*(one.removesuffix(".") for one in others), last])) from error


def _advice(description: str) -> str:
    """Turn a description such as `The address of …` into advice: `Set it to the address of …`."""
    is_noun = description.startswith(("The ", "A "))
    return f"Set it to {description[0].lower()}{description[1:]}" if is_noun else description

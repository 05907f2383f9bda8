"""Settings: their sources, the rejection of invalid values, and errors without secrets."""

import traceback
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from pydantic import Field, SecretStr, ValidationError, model_validator

from slipway_core.errors import ConfigurationError
from slipway_core.settings import ServiceSettings, load_settings, reject_unknown_variables, variable_of

SECRET = "correct-horse-battery-staple"


class SampleSettings(ServiceSettings):
    """Settings with one field of each kind that services have."""

    file_fields: ClassVar[frozenset[str]] = frozenset({"secret_key", "admin_password"})

    port: int = Field(default=8000, ge=1, le=65535, description="The port.")
    admin_password: SecretStr | None = Field(default=None, min_length=20, description="The first password.")
    secret_key: SecretStr = Field(validation_alias="SECRET_KEY", description="Signs the tokens.")

    @model_validator(mode="after")
    def _refuse_marked_key(self) -> Self:
        if self.secret_key.get_secret_value().startswith("unsafe"):
            raise ValueError("SECRET_KEY is unsafe")
        return self


@pytest.fixture(autouse=True)
def _whole_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET)


@pytest.mark.parametrize(("value", "port"), [("9000", 9000), ("", 8000)])
def test_setting_is_read_from_its_variable_unless_empty(monkeypatch: pytest.MonkeyPatch, value: str, port: int) -> None:
    monkeypatch.setenv("SLIPWAY_PORT", value)

    settings = load_settings(SampleSettings)

    assert settings.port == port
    assert settings.secret_key.get_secret_value() == SECRET


def test_unset_setting_has_its_default() -> None:
    settings = load_settings(SampleSettings)

    assert (settings.port, settings.admin_password, settings.log_level) == (8000, None, "info")


@pytest.mark.parametrize(("field", "variable"), [("port", "SLIPWAY_PORT"), ("secret_key", "SECRET_KEY")])
def test_every_field_has_one_variable(field: str, variable: str) -> None:
    assert variable_of(SampleSettings, field) == variable


@pytest.mark.parametrize(("field", "value"), [("port", 7000), ("secret_key", "given as an argument")])
def test_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, field: str, value: Any) -> None:
    monkeypatch.setenv("SLIPWAY_PORT", "9000")

    found = getattr(load_settings(SampleSettings, **{field: value}), field)

    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == value


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(SampleSettings)

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 9000  # type: ignore[misc]  # what the type checker refuses, too


def test_repr_of_settings_has_no_secrets() -> None:
    assert SECRET not in repr(load_settings(SampleSettings))


# Secrets in files


@pytest.mark.parametrize("variable", [None, ""])
def test_secret_is_read_from_a_file_without_its_line_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str | None
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET} in a file\n", encoding="utf-8")
    if variable is None:
        monkeypatch.delenv("SECRET_KEY")
    else:
        monkeypatch.setenv("SECRET_KEY", variable)
    monkeypatch.setenv("SECRET_KEY_FILE", str(file))

    assert load_settings(SampleSettings).secret_key.get_secret_value() == f"{SECRET} in a file"


@pytest.mark.parametrize("variable", ["SECRET_KEY", "SLIPWAY_ADMIN_PASSWORD"])
def test_variable_wins_over_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    file = tmp_path / "secret"
    file.write_text("what the file says, twenty characters", encoding="utf-8")
    monkeypatch.setenv(variable, SECRET)
    monkeypatch.setenv(f"{variable}_FILE", str(file))

    settings = load_settings(SampleSettings)

    found = settings.secret_key if variable == "SECRET_KEY" else settings.admin_password
    assert found is not None
    assert found.get_secret_value() == SECRET


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"], ids=["missing", "not text"])
def test_unreadable_secret_file_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD_FILE", str(file))

    with pytest.raises(ConfigurationError, match=r"^SLIPWAY_ADMIN_PASSWORD_FILE names a file that cannot be read"):
        load_settings(SampleSettings)


def test_settings_without_file_fields_read_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD_FILE", "missing-file")

    assert load_settings(ServiceSettings).log_format == "auto"


# Rejected settings


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SECRET_KEY", None, "SECRET_KEY is not set. Signs the tokens."),
        # The message of a rule across settings is reported unchanged.
        ("SECRET_KEY", "unsafe", "SECRET_KEY is unsafe"),
        ("SLIPWAY_PROT", "9000", "SLIPWAY_PROT is not a setting of Slipway; did you mean SLIPWAY_PORT?"),
    ],
    ids=["missing", "rule across settings", "unknown variable"],
)
def test_wrong_setting_is_reported_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, message: str
) -> None:
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError) as caught:
        load_settings(SampleSettings)

    assert str(caught.value) == message


def test_every_wrong_setting_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("SLIPWAY_PORT", "99999")
    monkeypatch.setenv("SLIPWAY_LOG_LEVEL", "loud")

    with pytest.raises(ConfigurationError) as caught:
        load_settings(SampleSettings)

    assert all(name in str(caught.value) for name in ("SECRET_KEY is", "SLIPWAY_PORT: ", "SLIPWAY_LOG_LEVEL: "))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SLIPWAY_ADMIN_PASSWORD", "hunter2"), ("SECRET_KEY", "unsafe-hunter2"), ("SLIPWAY_PORT", "hunter2")],
)
def test_error_and_traceback_contain_no_value(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError, match=variable) as caught:
        load_settings(SampleSettings)

    assert "hunter2" not in str(caught.value)
    # With the causes, as a log or an unhandled exception prints them.
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SLIPWAY_LOGLEVEL", "SLIPWAY_LOG_LEVEL"),
        ("SLIPWAY_ADMIN_PASSWORT", "SLIPWAY_ADMIN_PASSWORD"),
        ("SLIPWAY_MODEL", "SLIPWAY_MODELS"),
        # A file is read for secrets only.
        ("SLIPWAY_PORT_FILE", "SLIPWAY_PORT"),
        # Shared variables have no prefix; users add one by mistake.
        ("SLIPWAY_SECRET_KEY", "SECRET_KEY"),
        ("SLIPWAY_DATABASE_URL", "DATABASE_URL"),
        ("SLIPWAY_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI"),
    ],
)
def test_misspelled_variable_is_reported_with_a_suggestion(variable: str, meant: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        reject_unknown_variables({variable: "x"})

    assert str(caught.value) == f"{variable} is not a setting of Slipway; did you mean {meant}?"


def test_unknown_variable_error_names_the_list_of_settings() -> None:
    with pytest.raises(ConfigurationError, match=r"SLIPWAY_QQQQQQQQQQQQ is not a setting of Slipway; see .env.example"):
        reject_unknown_variables({"SLIPWAY_QQQQQQQQQQQQ": "x"})


def test_every_unknown_variable_is_named_and_no_value() -> None:
    with pytest.raises(ConfigurationError) as caught:
        reject_unknown_variables({"SLIPWAY_PROT": "hunter2", "SLIPWAY_HOTS": "hunter2", "PATH": "/bin"})

    told = str(caught.value)
    assert "SLIPWAY_PROT" in told
    assert "SLIPWAY_HOTS" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("variable", ["SLIPWAY_PORT", "SLIPWAY_ADMIN_PASSWORD_FILE", "PATH", "MLFLOW_EXTRA"])
def test_known_and_foreign_variables_are_accepted(variable: str) -> None:
    reject_unknown_variables({variable: "x"})

"""The API's settings: their formats, and the values that production rejects."""

from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_api.settings import MAX_LARGE_BYTES, ApiSettings
from slipway_core.errors import ConfigurationError
from slipway_core.policy import new_key, new_password
from slipway_core.settings import load_settings
from support.api import SECRET_KEY

UNSAFE_KEYS = [
    ("k3y-of-17-letters", "is shorter than 32 bytes"),
    ("x" * 31, "is shorter than 32 bytes"),
    ("x" * 64, "repeats itself too much"),
    ("your-secret-key-0246813579-abcdefghij", "contains a part of a well-known example"),
]


@pytest.fixture(autouse=True)
def _required(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the required variables."""
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")


def test_production_is_the_default_and_accepts_safe_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", new_key())
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD", new_password())

    settings = load_settings(ApiSettings)
    settings.require_safe_admin_password()

    assert settings.env == "production"


def test_defaults_match_the_documentation() -> None:
    settings = load_settings(ApiSettings)

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.auth_stale_seconds, settings.registry_poll_seconds) == (900, 2)
    assert (settings.default_model, settings.models) == ("iris", ())
    assert (settings.admin_username, settings.admin_password) == ("admin", None)
    assert settings.metrics_public is False


@pytest.mark.parametrize(("key", "why"), UNSAFE_KEYS)
def test_production_rejects_an_unsafe_key_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, key: str, why: str
) -> None:
    monkeypatch.setenv("SECRET_KEY", key)

    with pytest.raises(ConfigurationError, match="SECRET_KEY") as refused:
        load_settings(ApiSettings)

    assert why in str(refused.value)
    assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("password", "why"), [("pa55wd", "8 to 128 characters"), ("Ada-Lovelace", "too easy to guess")]
)
def test_production_rejects_unsafe_admin_password_unshown(
    monkeypatch: pytest.MonkeyPatch, password: str, why: str
) -> None:
    monkeypatch.setenv("SLIPWAY_ADMIN_USERNAME", "ada-lovelace")
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD", password)

    with pytest.raises(ConfigurationError, match="SLIPWAY_ADMIN_PASSWORD") as refused:
        load_settings(ApiSettings).require_safe_admin_password()

    assert why in str(refused.value)
    assert password not in str(refused.value)


@pytest.mark.parametrize("key", [key for key, _ in UNSAFE_KEYS])
def test_development_accepts_any_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("SLIPWAY_ENV", "development")
    monkeypatch.setenv("SECRET_KEY", key)

    assert load_settings(ApiSettings).secret_key.get_secret_value() == key


def test_development_accepts_any_first_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ENV", "development")
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD", "x")

    load_settings(ApiSettings).require_safe_admin_password()


@pytest.mark.parametrize(
    ("written", "models"),
    [
        ("iris", ("iris",)),
        ("iris,demand", ("iris", "demand")),
        (" iris , demand ", ("iris", "demand")),
        ("demand,,iris,", ("demand", "iris")),
        ("iris,demand,iris", ("iris", "demand")),
        ("a b,c", ("a b", "c")),
        ("iris@7", ("iris@7",)),
        ("iris , iris@7, iris@7,bike-demand", ("iris", "iris@7", "bike-demand")),
        ("me@home@12", ("me@home@12",)),
        (" , ", ()),
        ("", ()),
    ],
)
def test_models_are_given_as_a_list(monkeypatch: pytest.MonkeyPatch, written: str, models: tuple[str, ...]) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", written)

    assert load_settings(ApiSettings).models == models


@pytest.mark.parametrize(
    "written",
    [
        *("iris@", "@7", "@", "me@home", "iris@latest", "iris@0", "iris@07", "iris@-1", "iris@1.0", "iris @7"),
        *("iris@\u0667", "iris@1234567890", "rose,iris@x"),
    ],
)
def test_malformed_version_error_shows_the_format(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", written)

    with pytest.raises(
        ConfigurationError, match=r"SLIPWAY_MODELS: .* is not a model reference: write .* such as iris@7"
    ):
        load_settings(ApiSettings)


def test_body_limit_above_the_memory_limit_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_MAX_BODY_BYTES", str(MAX_LARGE_BYTES + 1))

    with pytest.raises(ConfigurationError, match=f"SLIPWAY_MAX_BODY_BYTES: .* {MAX_LARGE_BYTES}"):
        load_settings(ApiSettings)


@pytest.mark.parametrize("models", ["", "iris@7", "iris,iris@7"])
def test_default_model_cannot_be_a_version(monkeypatch: pytest.MonkeyPatch, models: str) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", models)
    monkeypatch.setenv("SLIPWAY_DEFAULT_MODEL", "iris@7")

    with pytest.raises(ConfigurationError, match="SLIPWAY_DEFAULT_MODEL: the default model must not have a version"):
        load_settings(ApiSettings)


def test_default_model_listed_only_as_a_version_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", "iris@7")
    monkeypatch.setenv("SLIPWAY_DEFAULT_MODEL", "iris")

    with pytest.raises(ConfigurationError, match="which SLIPWAY_MODELS does not name"):
        load_settings(ApiSettings)


@pytest.mark.parametrize(
    ("models", "predicting"),
    [("", "iris"), ("wine", "wine"), ("wine,wine@3", "wine"), ("wine@3", "iris"), ("wine,rose", "iris")],
)
def test_only_listed_model_is_the_default(monkeypatch: pytest.MonkeyPatch, models: str, predicting: str) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", models)

    assert load_settings(ApiSettings).predicting_model == predicting


def test_configured_default_model_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", "wine,rose")
    monkeypatch.setenv("SLIPWAY_DEFAULT_MODEL", "rose")

    assert load_settings(ApiSettings).predicting_model == "rose"


@pytest.mark.parametrize("written", ["app.example.com", "localhost:3000", "https://app.example.com/page", "https://"])
def test_malformed_origin_error_shows_the_format(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SLIPWAY_CORS_ORIGINS", f"https://good.example.com,{written}")

    with pytest.raises(
        ConfigurationError, match=r"SLIPWAY_CORS_ORIGINS: .* is not an origin: write scheme, host and port"
    ):
        load_settings(ApiSettings)


@pytest.mark.parametrize("written", ["https://app.example.com", "http://localhost:3000", "*", "capacitor://localhost"])
def test_origin_is_accepted_as_browsers_send_it(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SLIPWAY_CORS_ORIGINS", f"{written}/")

    assert load_settings(ApiSettings).cors_origins == (written,)


@pytest.mark.parametrize("written", ["proxy", "10.0.0.7/8", "10.0.0.7,*", "127.0.0.1,", "10.0.0.300"])
def test_proxy_that_can_never_match_is_rejected(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", written)

    with pytest.raises(ConfigurationError, match=r"FORWARDED_ALLOW_IPS: .* is not an address or network"):
        load_settings(ApiSettings)


@pytest.mark.parametrize("written", ["127.0.0.1,::1", "10.0.0.0/8, fd00::/8", "*"])
def test_proxies_are_addresses_networks_or_all(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", written)

    assert load_settings(ApiSettings).forwarded_allow_ips == written


@hypothesis.settings(deadline=None)
@given(names=st.lists(st.text("abcdefg-_. 0123", min_size=1).map(str.strip).filter(bool), unique=True))
def test_model_names_are_parsed_unchanged(names: list[str]) -> None:
    settings = load_settings(ApiSettings, models=" ,".join(names))

    assert settings.models == tuple(names)


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "SLIPWAY_ADMIN_PASSWORD", "MLFLOW_TRACKING_PASSWORD"])
def test_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    secret = "sqlite:///somewhere.db" if name == "DATABASE_URL" else new_key()
    (tmp_path / "secret").write_text(f"{secret}\n")
    monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))

    settings = load_settings(ApiSettings)

    field = name.removeprefix("SLIPWAY_").lower()
    assert getattr(settings, field).get_secret_value() == secret


def test_printed_settings_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {name: new_key() for name in ("SECRET_KEY", "SLIPWAY_ADMIN_PASSWORD", "MLFLOW_TRACKING_PASSWORD")}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)

    printed = repr(load_settings(ApiSettings))

    assert [name for name, value in secrets.items() if value in printed] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLIPWAY_ENV", "staging"),
        ("SLIPWAY_PORT", "70000"),
        ("SLIPWAY_PORT", "http"),
        ("SLIPWAY_TOKEN_TTL_SECONDS", "0"),
        ("SLIPWAY_AUTH_STALE_SECONDS", "-1"),
        ("SLIPWAY_REGISTRY_POLL_SECONDS", "0"),
        ("SLIPWAY_MAX_BODY_BYTES", "0"),
        ("SLIPWAY_MAX_ROWS", "0"),
        ("SLIPWAY_METRICS_PUBLIC", "perhaps"),
        ("SLIPWAY_LOG_LEVEL", "loud"),
        ("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"),
        ("DATABASE_URL", "mysql://slipway@127.0.0.1/slipway"),
        # No account can have this name, so the first administrator could not log in.
        ("SLIPWAY_ADMIN_USERNAME", "ops team"),
        ("SLIPWAY_ADMIN_USERNAME", "-admin"),
        ("SLIPWAY_ADMIN_USERNAME", "x" * 65),
        ("SLIPWAY_ADMIN_USERNAME", "Me"),
        ("SLIPWAY_ADMIN_USERNAME", "01939C4E-5F0E-4C3A-9D2B-3A1F0C9D7E55"),
        ("SLIPWAY_REGISTRATION", "sometimes"),
        ("SLIPWAY_LOGIN_MAX_FAILURES", "0"),
        ("SLIPWAY_LOGIN_MAX_FAILURES_PER_ADDRESS", "0"),
        ("SLIPWAY_LOGIN_WINDOW_SECONDS", "0"),
        ("SLIPWAY_LOGIN_WINDOW_SECONDS", "86401"),
    ],
)
def test_invalid_value_error_names_the_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=name):
        load_settings(ApiSettings)


@pytest.mark.parametrize("name", ["SECRET_KEY", "MLFLOW_TRACKING_URI"])
def test_missing_required_settings_are_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)

    with pytest.raises(ConfigurationError, match=f"{name} is not set"):
        load_settings(ApiSettings)


def test_all_invalid_settings_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("SECRET_KEY")

    with pytest.raises(ConfigurationError) as refused:
        load_settings(ApiSettings)

    assert "http://127.0.0.1:5000; SECRET_KEY is not set. Set it to a key that signs" in str(refused.value)
    assert ".;" not in str(refused.value)

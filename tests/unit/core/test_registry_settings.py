"""The settings of the registry: its server and account."""

import base64
from pathlib import Path

import httpx
import pytest

from slipway_core.errors import ConfigurationError
from slipway_core.registry.settings import RegistrySettings
from slipway_core.settings import load_settings


@pytest.fixture(autouse=True)
def _tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000/")


def sent_by(settings: RegistrySettings, monkeypatch: pytest.MonkeyPatch) -> httpx.Request:
    """Return the first request that the opened registry sends."""
    sent: list[httpx.Request] = []

    def answer(_: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={})

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer)
    with settings.open_registry(timeout_seconds=4.0) as registry:
        registry.list_models()
    return sent[0]


def test_configured_server_is_called_with_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    request = sent_by(load_settings(RegistrySettings), monkeypatch)

    assert (request.url.host, request.url.port) == ("mlflow.example", 5000)
    assert request.extensions["timeout"] == {"connect": 3.0, "read": 4.0, "write": 4.0, "pool": 4.0}
    assert "Authorization" not in request.headers


def test_account_password_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wonder\n", encoding="utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "grace")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(file))

    request = sent_by(load_settings(RegistrySettings), monkeypatch)

    assert request.headers["Authorization"] == f"Basic {base64.b64encode(b'grace:wonder').decode()}"


def test_missing_server_is_reported_with_the_embedded_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")

    with pytest.raises(ConfigurationError, match=r"^MLFLOW_TRACKING_URI is not set\. .*http://127\.0\.0\.1:5000"):
        load_settings(RegistrySettings)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        *(
            (address, "^MLFLOW_TRACKING_URI: it must be the address of an MLflow server")
            for address in ("mlflow:5000", "file:///mlruns", "sqlite:///mlflow.db", "databricks")
        ),
        ("localhost:5000", "such as http://localhost:5000$"),
        ("mlflow.example:80", "such as http://mlflow.example:80$"),
        ("grace:wonder@mlflow:5000", "such as http://127.0.0.1:5000$"),
    ],
)
def test_address_other_than_a_server_is_rejected(monkeypatch: pytest.MonkeyPatch, address: str, message: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    with pytest.raises(ConfigurationError, match=message):
        load_settings(RegistrySettings)

"""The API for a registry: that of the running embedded stack, or that of the settings."""

from pathlib import Path

import pytest

from slipway_cli.api_address import KnownApi, find_api
from slipway_cli.embedded.home import Home, Ports
from slipway_cli.identity import Credentials, store_credentials

REGISTRY = "http://127.0.0.1:5050"


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("SLIPWAY_HOME", str(folder))
    made = Home(folder)
    made.make()
    return made


@pytest.mark.parametrize("registry", [REGISTRY, "http://localhost:5050/"])
def test_embedded_stack_of_the_registry_is_found(home: Home, registry: str) -> None:
    with home.locked(Ports(8080, 5050)):
        assert find_api(registry) == KnownApi("http://127.0.0.1:8080", home.password_file, home.root)


@pytest.mark.parametrize("registry", ["http://127.0.0.1:5000", "http://mlflow.example.com:5050", ""])
def test_embedded_stack_of_another_registry_is_not_used(home: Home, registry: str) -> None:
    with home.locked(Ports(8080, 5050)):
        assert find_api(registry) == KnownApi(None)


def test_stopped_embedded_stack_is_not_used(home: Home) -> None:
    with home.locked(Ports(8080, 5050)):
        pass

    assert find_api(REGISTRY) == KnownApi(None)


def test_address_of_the_login_is_used(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store_credentials(Credentials(url="https://ml.example.com", username="ada", token="t"))
    assert find_api(REGISTRY) == KnownApi("https://ml.example.com")

    monkeypatch.setenv("SLIPWAY_URL", "http://127.0.0.1:9000")
    assert find_api(REGISTRY) == KnownApi("http://127.0.0.1:9000")

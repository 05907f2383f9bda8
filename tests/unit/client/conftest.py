"""Fixtures of the client's tests: a real API, and clients of it."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from slipway_api.accounts.models import Role
from slipway_client import Client
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, make_database, running_api
from support.bundles import bundle_files, register, regression_files
from support.client_transports import URL, SyncTransport
from support.typed_models import KINDS, table_files

# Small, so that tests reach them.
MAX_ROWS, MAX_BODY_BYTES = 100, 20_000


@pytest.fixture(autouse=True)
def _no_logs() -> Iterator[None]:
    """Print no events of the API."""
    with capture_logs():
        yield


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    """Run an API with a matrix and a table model of each kind, shared by all tests."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    register(registry, regression_files(), "demand", promote=True)
    for name, kind in KINDS.items():
        register(registry, table_files(name, kind), name, promote=True)
    options: dict[str, Any] = {
        "max_rows": MAX_ROWS,
        "max_body_bytes": MAX_BODY_BYTES,
        "registry_poll_seconds": 3_600,
        "models": ("iris", "demand", *KINDS, "iris@1"),
        "login_max_failures": 10_000,
    }
    folder = tmp_path_factory.mktemp("client")
    with pytest.MonkeyPatch.context() as monkeypatch:  # this fixture runs before _clean_environment
        for name in [name for name in os.environ if name.startswith("SLIPWAY_")]:
            monkeypatch.delenv(name)
        with running_api(folder / "api", registry, make_database(folder / "template.db"), **options) as running:
            yield running


@pytest.fixture
def transport(api: RunningApi) -> SyncTransport:
    return SyncTransport(api)


@pytest.fixture
def client(api: RunningApi, transport: SyncTransport) -> Iterator[Client]:
    """A client with the token of a user."""
    with Client(URL, token=api.token(Role.USER), transport=transport) as client:
        yield client


@pytest.fixture
def admin(api: RunningApi, transport: SyncTransport) -> Iterator[Client]:
    """A client with the token of an administrator."""
    with Client(URL, token=api.token(Role.ADMIN), transport=transport) as client:
        yield client

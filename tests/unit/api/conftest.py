"""Fixtures that run the API's app: one shared app, and apps that a test starts for itself."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from slipway_core.logging import add_request_id
from slipway_core.registry import Registry
from slipway_core.registry.memory import InMemoryRegistry
from support.api import Database, RunningApi, StartApi, make_database, running_api
from support.bundles import bundle_files, register, regression_files
from support.refusals import Apis
from support.serving import Serving
from support.typed_models import KINDS, table_files


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """Collect every event logged during the test, and print none."""
    with capture_logs(processors=[add_request_id]) as events:
        yield events


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Create a database with an account of each role; each app gets a copy."""
    return make_database(tmp_path_factory.mktemp("database") / "template.db")


@pytest.fixture
def registry() -> InMemoryRegistry:
    """Create a registry with a Production version of iris."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    return registry


@pytest.fixture
def start_api(tmp_path: Path, database: Database) -> Iterator[StartApi]:
    """Start an app for one test; a second app in the same folder is a restart."""
    with ExitStack() as stack:

        def start(registry: Registry, **options: Any) -> RunningApi:
            return stack.enter_context(running_api(tmp_path / "api", registry, database, **options))

        yield start


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[RunningApi]:
    """Run an app with a classifier and a regressor, shared by the tests that do not change it."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    register(registry, regression_files(), "demand", promote=True)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as monkeypatch:  # this fixture runs before _clean_environment
            for name in [name for name in os.environ if name.startswith("SLIPWAY_")]:
                monkeypatch.delenv(name)
            # Poll rarely: concurrent random jitter would disturb the property tests.
            options: dict[str, Any] = {"max_body_bytes": 200_000, "max_rows": 1_000, "registry_poll_seconds": 3_600}
            # Failed logins of one test must not block those of another.
            options |= {"login_max_failures": 10_000, "login_max_failures_per_address": 10_000}
            folder = tmp_path_factory.mktemp("api")
            api = stack.enter_context(running_api(folder, registry, database, **options))
        yield api


@pytest.fixture(scope="session")
def typed_api(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[RunningApi]:
    """Run an app with a table model of each kind, shared by the tests that do not change it."""
    registry = InMemoryRegistry()
    for name, kind in KINDS.items():
        register(registry, table_files(name, kind), name, promote=True)
    options: dict[str, Any] = {"max_rows": 1_000, "registry_poll_seconds": 3_600, "default_model": "texts"}
    with running_api(tmp_path_factory.mktemp("typed"), registry, database, **options) as api:
        yield api


@pytest.fixture(scope="module")
def apis(api: RunningApi, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    """Run apps in each state that returns errors."""
    with ExitStack() as stack:
        yield Apis(api, tmp_path_factory.mktemp("errors"), database, stack)


@pytest.fixture
def serving(tmp_path: Path, logs: list[EventDict]) -> Serving:
    """Create a process that serves version 1 of iris, and clear the log before the test."""
    serving = Serving(tmp_path / "cache")
    register(serving.registry, bundle_files(), promote=True)
    serving.sync()
    logs.clear()
    return serving

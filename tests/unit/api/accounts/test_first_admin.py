"""The first administrator, and the refreshes of the accounts while the service runs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import update
from structlog.typing import EventDict

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.models import FirstAdmin, Role
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.accounts.service import AccountService
from slipway_api.accounts.store import AccountStore
from slipway_core.database import connect
from slipway_core.migrations import upgrade
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.tables import users
from support.accounts import FakeStore, account_service
from support.api import RunningApi, StartApi


def log_in(api: RunningApi, username: str, password: str) -> int:
    return api.post("/token", data={"username": username, "password": password}).status_code


def test_first_admin_is_created_from_settings_once(
    start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    upgrade(url)

    first = start_api(registry, database_url=url, admin_username="Root", admin_password="the first password")
    assert log_in(first, "root", "the first password") == 200

    second = start_api(registry, database_url=url, admin_username="Root", admin_password="another password")
    assert log_in(second, "root", "the first password") == 200
    assert log_in(second, "root", "another password") == 401


def test_first_admin_has_role_admin(start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    upgrade(url)
    api = start_api(registry, database_url=url, admin_password="the first password")

    token = api.post("/token", data={"username": "admin", "password": "the first password"}).json()["access_token"]

    assert api.post("/models/iris/reload", token=token).status_code == 200


def test_first_admin_is_not_created_beside_other_accounts(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, admin_username="root", admin_password="the first password")

    assert log_in(api, "root", "the first password") == 401


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def service(store: FakeStore) -> Iterator[AccountService]:
    """A service over the fake store, with a first admin in its settings."""
    directory = AccountDirectory(lambda: cast("AccountStore", store), 900.0)
    service = account_service(directory, FirstAdmin("admin", "the first password"))
    yield service
    service.close()


def test_first_admin_is_created_once_database_answers(store: FakeStore, service: AccountService) -> None:
    store.away = True
    assert not asyncio.run(service.create_first_admin())
    store.away = False
    assert asyncio.run(service.create_first_admin())

    assert [(a.name, a.role) for a, _ in store.rows.values()] == [("admin", Role.ADMIN)]


def test_first_admin_with_weak_password_is_reported_and_not_created(store: FakeStore, logs: list[EventDict]) -> None:
    directory = AccountDirectory(lambda: cast("AccountStore", store), 900.0)
    service = account_service(directory, FirstAdmin("admin", "password1"))

    assert asyncio.run(service.create_first_admin())

    assert store.rows == {}
    [entry] = [entry for entry in logs if entry["event"] == "first_admin_refused"]
    assert entry["reason"].startswith("SLIPWAY_ADMIN_PASSWORD is too easy to guess")
    assert "password1" not in str(logs)
    service.close()


def test_development_allows_weak_password_of_first_admin(
    start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    upgrade(url)

    api = start_api(registry, database_url=url, admin_password="x", env="development")

    assert log_in(api, "admin", "x") == 200


def test_first_admin_of_another_replica_is_kept(
    store: FakeStore, service: AccountService, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.add("admin", "the other replica's hash", Role.ADMIN)
    monkeypatch.setattr(store, "count", lambda: 0)

    assert asyncio.run(service.create_first_admin())

    assert store.find("admin") == (made, "the other replica's hash")


def test_watch_survives_unexpected_error_in_refresh(
    start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path, logs: list[EventDict]
) -> None:
    url = f"sqlite:///{tmp_path / 'newer.db'}"
    upgrade(url)
    engine = connect(url)
    SqlAccountStore(engine).add("uma", "hash", Role.USER)
    with engine.begin() as connection:
        connection.execute(update(users).values(role="a role of a newer version"))
    engine.dispose()

    api = start_api(registry, database_url=url)

    assert "accounts_watch_failed" in [entry["event"] for entry in logs]
    assert api.get("/health/ready").status_code == 200
    assert api.get("/models", role=Role.USER).status_code == 503

"""Accounts: the snapshot that requests are checked against, the store behind it, and the first administrator."""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import text, update
from structlog.typing import EventDict

from slipway_api.accounts import directory as accounts_module
from slipway_api.accounts.directory import DATABASE_AWAY, SILENT_SECONDS, Accounts, AccountStore
from slipway_api.accounts.models import Account, Known, Role
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.errors import AuthenticationError, ConflictError, NotReadyError
from slipway_api.main import build
from slipway_api.settings import ApiSettings
from slipway_api.web.app import make_first_admin
from slipway_api.web.services import Services
from slipway_core.database import connect
from slipway_core.migrations import upgrade
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.tables import users
from support.api import NAMES, PASSWORD, SECRET_KEY, RunningApi, StartApi
from support.clock import Clock
from support.waiting import wait_for


class FakeStore:
    """Accounts in a dictionary, that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.rows: dict[str, tuple[Account, str]] = {}
        self.before_snapshot_returns: Callable[[], None] = lambda: None

    def add(self, name: str, password_hash: str, role: Role, **_told: object) -> Account:
        self._check()
        if name in self.rows:
            raise ConflictError(f"the name {name} is taken")
        account = Account(uuid.uuid4(), name, role, 1, disabled=False, created_at=datetime.now(UTC))
        self.rows[name] = account, password_hash
        return account

    def find(self, name: str) -> tuple[Account, str] | None:
        self._check()
        return self.rows.get(name)

    def count(self) -> int:
        self._check()
        return len(self.rows)

    def snapshot(self) -> Mapping[uuid.UUID, Known]:
        self._check()
        known = {a.id: Known(a.name, a.role, a.version, a.disabled) for a, _ in self.rows.values()}
        self.before_snapshot_returns()
        return known

    def change(self, name: str, **changes: Any) -> Account:
        account, password_hash = self.rows[name]
        changed = replace(account, version=account.version + 1, **changes)
        self.rows[name] = changed, password_hash
        return changed

    def _check(self) -> None:
        if self.away:
            raise NotReadyError(DATABASE_AWAY) from ConnectionError("the socket is closed")


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def accounts(store: FakeStore, clock: Clock) -> Accounts:
    # It has what the snapshot and the first administrator need.
    return Accounts(lambda: cast("AccountStore", store), 900.0, clock)


def test_an_account_that_was_read_is_the_caller(store: FakeStore, accounts: Accounts) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()

    caller = accounts.caller(account.id, 1)

    assert (caller.id, caller.name, caller.role) == (account.id, "uma", Role.USER)


def test_an_account_that_was_just_noted_is_known_before_it_is_read(store: FakeStore, accounts: Accounts) -> None:
    accounts.refresh()
    account = store.add("uma", "hash", Role.USER)

    accounts.note(account)

    assert accounts.caller(account.id, 1).name == "uma"


def test_an_account_that_is_noted_while_others_are_read_stays_known(store: FakeStore, accounts: Accounts) -> None:
    added: list[Account] = []

    def log_in_meanwhile() -> None:
        added.append(store.add("uma", "hash", Role.USER))
        accounts.note(added[0])

    accounts.refresh()
    store.before_snapshot_returns = log_in_meanwhile
    accounts.refresh()

    assert accounts.caller(added[0].id, 1).name == "uma"


def test_what_is_noted_late_replaces_nothing_newer(store: FakeStore, accounts: Accounts) -> None:
    older = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    accounts.note(store.change("uma", role=Role.VIEWER))

    accounts.note(older)

    assert accounts.caller(older.id, 2).role is Role.VIEWER


def test_a_deleted_account_is_forgotten_at_once(store: FakeStore, accounts: Accounts) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()

    accounts.forget(account.id)

    with pytest.raises(AuthenticationError):
        accounts.caller(account.id, 1)


def test_an_account_that_is_deleted_while_others_are_read_stays_forgotten(store: FakeStore, accounts: Accounts) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    store.before_snapshot_returns = lambda: accounts.forget(account.id)

    accounts.refresh()
    accounts.note(account)

    with pytest.raises(AuthenticationError):
        accounts.caller(account.id, 1)


def test_a_changed_account_ends_older_tokens(store: FakeStore, accounts: Accounts) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    store.change("uma", role=Role.VIEWER)

    accounts.refresh()

    with pytest.raises(AuthenticationError, match="no longer valid"):
        accounts.caller(account.id, 1)
    assert accounts.caller(account.id, 2).role is Role.VIEWER


def test_a_disabled_account_is_refused_with_its_newest_token_too(store: FakeStore, accounts: Accounts) -> None:
    account = store.add("uma", "hash", Role.USER)
    store.change("uma", disabled=True)
    accounts.refresh()

    with pytest.raises(AuthenticationError):
        accounts.caller(account.id, 2)


def test_a_deleted_account_is_refused(store: FakeStore, accounts: Accounts) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    del store.rows["uma"]
    accounts.refresh()

    with pytest.raises(AuthenticationError):
        accounts.caller(account.id, 1)


def test_while_the_database_is_away_the_last_snapshot_holds_for_a_while(
    store: FakeStore, accounts: Accounts, clock: Clock
) -> None:
    account = store.add("uma", "hash", Role.USER)
    assert accounts.refresh()
    store.away = True

    clock.now = 900.0
    assert not accounts.refresh()
    assert accounts.caller(account.id, 1).name == "uma"
    clock.now = 900.1
    with pytest.raises(NotReadyError, match="database is away"):
        accounts.caller(account.id, 1)


def test_without_any_snapshot_nobody_is_refused_for_good(store: FakeStore, accounts: Accounts) -> None:
    store.away = True
    accounts.refresh()

    with pytest.raises(NotReadyError):
        accounts.caller(uuid.uuid4(), 1)


def test_a_database_that_goes_away_and_comes_back_is_told_once_each(
    store: FakeStore, accounts: Accounts, logs: list[EventDict]
) -> None:
    for away in (False, False, True, True, True, False, False):
        store.away = away
        accounts.refresh()

    assert [entry["event"] for entry in logs] == ["accounts_read", "accounts_unreadable", "accounts_read"]
    assert logs[1]["cause"] == "ConnectionError"


def test_who_comes_before_the_first_look_is_over_waits_for_it(accounts: Accounts) -> None:
    async def come_early() -> list[str]:
        order = []

        async def come() -> None:
            await accounts.opened()
            order.append("let in")

        waiting = asyncio.create_task(come())
        await asyncio.sleep(0)
        order.append("looked")
        accounts.looked.set()
        await waiting
        return order

    assert asyncio.run(come_early()) == ["looked", "let in"]


def test_who_waits_too_long_for_the_first_look_is_sent_away(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts_module, "FIRST_LOOK_SECONDS", 0.01)

    with pytest.raises(NotReadyError):
        asyncio.run(accounts.opened())


def test_disabling_an_account_holds_within_five_seconds(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    token = api.token(Role.USER)
    assert api.get("/models", token=token).status_code == 200
    engine = connect(api.services.settings.database_url.get_secret_value())

    with engine.begin() as connection:
        connection.execute(
            update(users).where(users.c.name == NAMES[Role.USER]).values(disabled=True, version=users.c.version + 1)
        )
    engine.dispose()

    wait_for(lambda: api.get("/models", token=token).status_code == 401, seconds=5, what="the refusal")
    answer = api.post("/token", data={"username": NAMES[Role.USER], "password": PASSWORD})
    assert (answer.status_code, answer.json()["detail"]) == (401, "the username or the password is wrong")


def test_what_the_account_may_now_holds_and_not_what_the_token_says(
    start_api: StartApi, registry: InMemoryRegistry
) -> None:
    api = start_api(registry)
    viewer_as_admin = replace(api.accounts[Role.VIEWER], role=Role.ADMIN)

    answer = api.post("/models/iris/reload", token=api.services.tokens.issue(viewer_as_admin))

    assert answer.status_code == 403


def test_the_database_going_away_ends_no_token(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    engine = connect(api.services.settings.database_url.get_secret_value())
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE users"))
    engine.dispose()

    assert not api.services.accounts.refresh()

    assert api.get("/models", role=Role.USER).status_code == 200
    answer = api.post("/token", data={"username": NAMES[Role.USER], "password": PASSWORD})
    assert answer.status_code == 503


def log_in(api: RunningApi, username: str, password: str) -> int:
    return api.post("/token", data={"username": username, "password": password}).status_code


def test_the_first_admin_is_made_from_the_settings_once(
    start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    upgrade(url)

    first = start_api(registry, database_url=url, admin_username="Root", admin_password="the first password")
    assert log_in(first, "root", "the first password") == 200

    second = start_api(registry, database_url=url, admin_username="Root", admin_password="another password")
    assert log_in(second, "root", "the first password") == 200
    assert log_in(second, "root", "another password") == 401


def test_the_first_admin_may_do_what_an_admin_may(
    start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    upgrade(url)
    api = start_api(registry, database_url=url, admin_password="the first password")

    token = api.post("/token", data={"username": "admin", "password": "the first password"}).json()["access_token"]

    assert api.post("/models/iris/reload", token=token).status_code == 200


def test_there_is_no_first_admin_where_there_are_accounts(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, admin_username="root", admin_password="the first password")

    assert log_in(api, "root", "the first password") == 401


@pytest.fixture
def services(store: FakeStore, accounts: Accounts, tmp_path: Path) -> Iterator[Services]:
    """Services over the fake store, whose settings name a first admin."""
    settings = ApiSettings(
        secret_key=SECRET_KEY,
        mlflow_tracking_uri="http://registry.invalid",
        admin_password="the first password",
        cache_dir=tmp_path,
        journal_dir=tmp_path / "journal",
    )
    built: Services = build(settings, InMemoryRegistry()).services
    passwords = Passwords()
    yield replace(built, accounts=accounts, passwords=passwords)
    passwords.close()


def test_the_first_admin_waits_for_the_database(store: FakeStore, services: Services) -> None:
    store.away = True
    assert not asyncio.run(make_first_admin(services))
    store.away = False
    assert asyncio.run(make_first_admin(services))

    assert [(a.name, a.role) for a, _ in store.rows.values()] == [("admin", Role.ADMIN)]


def test_an_admin_that_another_replica_made_meanwhile_is_left_alone(
    store: FakeStore, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.add("admin", "the other replica's hash", Role.ADMIN)
    monkeypatch.setattr(store, "count", lambda: 0)

    assert asyncio.run(make_first_admin(services))

    assert store.find("admin") == (made, "the other replica's hash")


def test_a_fault_in_reading_accounts_does_not_end_the_service(
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


# What other workers do


def over(store: FakeStore, wall_clock: Clock) -> Accounts:
    return Accounts(lambda: cast("AccountStore", store), 900.0, wall_clock=wall_clock)


def test_an_account_that_another_worker_has_just_added_is_looked_for(store: FakeStore) -> None:
    wall = Clock(1_000.0)
    accounts = over(store, wall)
    accounts.refresh()
    account = store.add("uma", "hash", Role.USER)
    wall.now = 1_000.5

    assert accounts.is_behind(account.id, 1, issued=1_000)
    accounts.catch_up()

    assert not accounts.is_behind(account.id, 1, issued=1_000)
    assert accounts.caller(account.id, 1).name == "uma"


def test_a_change_that_another_worker_has_just_made_is_looked_for(store: FakeStore) -> None:
    wall = Clock(1_000.0)
    accounts = over(store, wall)
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    changed = replace(account, version=2)
    store.rows["uma"] = changed, "another hash"

    assert accounts.is_behind(account.id, 2, issued=1_001)
    assert not accounts.is_behind(account.id, 1, issued=1_001)


def test_a_token_older_than_the_last_look_makes_nobody_look_again(store: FakeStore) -> None:
    accounts = over(store, Clock(1_000.0))
    accounts.refresh()

    assert not accounts.is_behind(uuid.uuid4(), 1, issued=990)


def test_while_the_database_is_away_a_token_that_another_worker_may_have_made_is_not_refused_for_good(
    store: FakeStore,
) -> None:
    accounts = over(store, Clock(1_000.0))
    accounts.refresh()
    store.away = True
    accounts.refresh()

    assert accounts.is_behind(uuid.uuid4(), 1, issued=1_000)
    with pytest.raises(NotReadyError):
        accounts.catch_up()


def test_who_waited_while_another_looked_does_not_look_again(store: FakeStore) -> None:
    accounts = over(store, Clock(1_000.0))
    looks: list[int] = []
    store.before_snapshot_returns = lambda: looks.append(1)

    for _ in range(8):
        accounts.catch_up()

    assert len(looks) == 1


def test_a_database_that_falls_silent_is_found_away_before_it_answers(
    store: FakeStore, accounts: Accounts, clock: Clock
) -> None:
    told: list[str] = []

    def ask_meanwhile() -> None:
        accounts.check_database()  # it may yet answer
        clock.now += SILENT_SECONDS + 1
        with pytest.raises(NotReadyError) as caught:
            accounts.check_database()
        told.append(str(caught.value))

    store.before_snapshot_returns = ask_meanwhile
    accounts.refresh()

    assert told == [DATABASE_AWAY]
    accounts.check_database()

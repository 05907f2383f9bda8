"""The directory of cached accounts, its refreshes from the store, and the first administrator."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
from structlog.typing import EventDict

from slipway_api.accounts import directory as accounts_module
from slipway_api.accounts.directory import REFRESH_TIMEOUT_SECONDS, AccountDirectory
from slipway_api.accounts.key_models import AddedKey, ApiKey, CachedKey, KeyAction, RevokedKey, RevokedToken
from slipway_api.accounts.models import Account, CurrentToken, Role
from slipway_api.accounts.store import DATABASE_UNAVAILABLE, AccountStore
from slipway_api.errors import AuthenticationError, NotReadyError
from support.accounts import FakeStore
from support.clock import Clock


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def accounts(store: FakeStore, clock: Clock) -> AccountDirectory:
    return AccountDirectory(lambda: cast("AccountStore", store), 900.0, clock)


def test_current_user_returns_account_after_refresh(store: FakeStore, accounts: AccountDirectory) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()

    caller = accounts.current_user(account.id, 1)

    assert (caller.id, caller.name, caller.role) == (account.id, "uma", Role.USER)


def test_update_caches_account_before_the_next_refresh(store: FakeStore, accounts: AccountDirectory) -> None:
    accounts.refresh()
    account = store.add("uma", "hash", Role.USER)

    accounts.update(account)

    assert accounts.current_user(account.id, 1).name == "uma"


def test_refresh_keeps_account_updated_during_the_read(store: FakeStore, accounts: AccountDirectory) -> None:
    added: list[Account] = []

    def log_in_meanwhile() -> None:
        added.append(store.add("uma", "hash", Role.USER))
        accounts.update(added[0])

    accounts.refresh()
    store.before_snapshot_returns = log_in_meanwhile
    accounts.refresh()

    assert accounts.current_user(added[0].id, 1).name == "uma"


def test_update_keeps_newer_version_in_cache(store: FakeStore, accounts: AccountDirectory) -> None:
    older = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    accounts.update(store.change("uma", role=Role.VIEWER))

    accounts.update(older)

    assert accounts.current_user(older.id, 2).role is Role.VIEWER


def test_invalidate_removes_account_from_cache(store: FakeStore, accounts: AccountDirectory) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()

    accounts.invalidate(account.id)

    with pytest.raises(AuthenticationError):
        accounts.current_user(account.id, 1)


def test_refresh_drops_account_invalidated_during_the_read(store: FakeStore, accounts: AccountDirectory) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    store.before_snapshot_returns = lambda: accounts.invalidate(account.id)

    accounts.refresh()
    accounts.update(account)

    with pytest.raises(AuthenticationError):
        accounts.current_user(account.id, 1)


def test_current_user_rejects_version_before_change(store: FakeStore, accounts: AccountDirectory) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    store.change("uma", role=Role.VIEWER)

    accounts.refresh()

    with pytest.raises(AuthenticationError, match="no longer valid"):
        accounts.current_user(account.id, 1)
    assert accounts.current_user(account.id, 2).role is Role.VIEWER


def test_current_user_rejects_disabled_account(store: FakeStore, accounts: AccountDirectory) -> None:
    account = store.add("uma", "hash", Role.USER)
    store.change("uma", disabled=True)
    accounts.refresh()

    with pytest.raises(AuthenticationError):
        accounts.current_user(account.id, 2)


def test_current_user_rejects_deleted_account_after_refresh(store: FakeStore, accounts: AccountDirectory) -> None:
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    del store.rows["uma"]
    accounts.refresh()

    with pytest.raises(AuthenticationError):
        accounts.current_user(account.id, 1)


def test_cache_serves_until_stale_while_database_is_unavailable(
    store: FakeStore, accounts: AccountDirectory, clock: Clock
) -> None:
    account = store.add("uma", "hash", Role.USER)
    assert accounts.refresh()
    store.away = True

    clock.now = 900.0
    assert not accounts.refresh()
    assert accounts.current_user(account.id, 1).name == "uma"
    clock.now = 900.1
    with pytest.raises(NotReadyError, match="database is away"):
        accounts.current_user(account.id, 1)


def test_current_user_is_not_ready_without_any_refresh(store: FakeStore, accounts: AccountDirectory) -> None:
    store.away = True
    accounts.refresh()

    with pytest.raises(NotReadyError):
        accounts.current_user(uuid.uuid4(), 1)


def test_refresh_logs_outage_and_recovery_once(
    store: FakeStore, accounts: AccountDirectory, logs: list[EventDict]
) -> None:
    for away in (False, False, True, True, True, False, False):
        store.away = away
        accounts.refresh()

    assert [entry["event"] for entry in logs] == ["accounts_read", "accounts_unreadable", "accounts_read"]
    assert logs[1]["cause"] == "ConnectionError"


def test_wait_for_first_refresh_blocks_until_it_is_done(accounts: AccountDirectory) -> None:
    async def come_early() -> list[str]:
        order = []

        async def come() -> None:
            await accounts.wait_for_first_refresh()
            order.append("continued")

        waiting = asyncio.create_task(come())
        await asyncio.sleep(0)
        order.append("refreshed")
        accounts.first_refresh_done.set()
        await waiting
        return order

    assert asyncio.run(come_early()) == ["refreshed", "continued"]


def test_wait_for_first_refresh_times_out(accounts: AccountDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "FIRST_REFRESH_TIMEOUT_SECONDS", 0.01)

    with pytest.raises(NotReadyError):
        asyncio.run(accounts.wait_for_first_refresh())


# Changes by other workers


def over(store: FakeStore, wall_clock: Clock) -> AccountDirectory:
    return AccountDirectory(lambda: cast("AccountStore", store), 900.0, wall_clock=wall_clock)


def test_catch_up_finds_account_added_by_another_worker(store: FakeStore) -> None:
    wall = Clock(1_000.0)
    accounts = over(store, wall)
    accounts.refresh()
    account = store.add("uma", "hash", Role.USER)
    wall.now = 1_000.5

    assert accounts.may_be_outdated(account.id, 1, issued=1_000)
    accounts.catch_up()

    assert not accounts.may_be_outdated(account.id, 1, issued=1_000)
    assert accounts.current_user(account.id, 1).name == "uma"


def test_cache_may_be_outdated_after_change_by_another_worker(store: FakeStore) -> None:
    wall = Clock(1_000.0)
    accounts = over(store, wall)
    account = store.add("uma", "hash", Role.USER)
    accounts.refresh()
    changed = replace(account, version=2)
    store.rows["uma"] = changed, "another hash"

    assert accounts.may_be_outdated(account.id, 2, issued=1_001)
    assert not accounts.may_be_outdated(account.id, 1, issued=1_001)


def test_cache_is_not_outdated_for_token_before_last_refresh(store: FakeStore) -> None:
    accounts = over(store, Clock(1_000.0))
    accounts.refresh()

    assert not accounts.may_be_outdated(uuid.uuid4(), 1, issued=990)


def test_catch_up_is_not_ready_while_database_is_unavailable(
    store: FakeStore,
) -> None:
    accounts = over(store, Clock(1_000.0))
    accounts.refresh()
    store.away = True
    accounts.refresh()

    assert accounts.may_be_outdated(uuid.uuid4(), 1, issued=1_000)
    with pytest.raises(NotReadyError):
        accounts.catch_up()


def test_catch_up_reuses_refresh_of_another_thread(store: FakeStore) -> None:
    accounts = over(store, Clock(1_000.0))
    reads: list[int] = []
    store.before_snapshot_returns = lambda: reads.append(1)

    for _ in range(8):
        accounts.catch_up()

    assert len(reads) == 1


def test_require_database_fails_while_refresh_hangs(store: FakeStore, accounts: AccountDirectory, clock: Clock) -> None:
    errors: list[str] = []

    def ask_meanwhile() -> None:
        accounts.require_database()  # it may yet answer
        clock.now += REFRESH_TIMEOUT_SECONDS + 1
        with pytest.raises(NotReadyError) as caught:
            accounts.require_database()
        errors.append(str(caught.value))

    store.before_snapshot_returns = ask_meanwhile
    accounts.refresh()

    assert errors == [DATABASE_UNAVAILABLE]
    accounts.require_database()


# Keys and revoked tokens


def test_refresh_keeps_key_and_revocation_of_this_worker(store: FakeStore, accounts: AccountDirectory) -> None:
    account = store.add("uma", "hash", Role.USER)
    now = datetime.now(UTC)
    key = ApiKey(uuid.uuid4(), account.id, "scores", "", None, (KeyAction.READ,), now, None)
    cached = CachedKey(key.id, account.id, "digest", None, frozenset({KeyAction.READ}), None)
    token = CurrentToken(uuid.uuid4(), 2e9)

    def change_meanwhile() -> None:
        accounts.apply(AddedKey(key, cached))
        accounts.apply(RevokedToken(token.id, token.expires))

    store.before_snapshot_returns = change_meanwhile
    accounts.refresh()

    assert accounts.user_of_key(key.id, "digest").name == "uma"
    with pytest.raises(AuthenticationError):
        accounts.current_user(account.id, 1, token)


def test_refresh_drops_key_revoked_during_the_read(store: FakeStore, accounts: AccountDirectory) -> None:
    account = store.add("uma", "hash", Role.USER)
    key = CachedKey(uuid.uuid4(), account.id, "digest", None, frozenset(KeyAction), None)
    store.cached_keys[key.id] = key
    accounts.refresh()
    user = accounts.user_of_key(key.id, "digest")
    store.before_snapshot_returns = lambda: accounts.apply(RevokedKey(key.id))

    accounts.refresh()

    with pytest.raises(AuthenticationError):
        accounts.still_current(user)

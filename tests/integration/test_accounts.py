"""Accounts on SQLite and PostgreSQL: concurrent changes, their events, and the counting of logins."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select, update
from uuid_utils.compat import uuid7

from slipway_api.accounts import key_repository
from slipway_api.accounts.events import Action, AuditActor
from slipway_api.accounts.key_models import ApiKey, KeyAction
from slipway_api.accounts.models import Account, CurrentToken, CurrentUser, DeletedAccount, Role
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.errors import AuthenticationError, ConflictError, NotFoundError, PermissionDeniedError
from slipway_core.tables import account_events, api_keys, erasures, login_attempts, revoked_tokens, users
from support.account_databases import migrated

NOW = 1_800_000_000.0
SOMEBODY = AuditActor(address="192.0.2.1")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'slipway.db'}" if is_sqlite else request.getfixturevalue("postgres_url")
    with migrated(url) as engine:
        yield engine


@pytest.fixture
def store(engine: Engine) -> SqlAccountStore:
    return SqlAccountStore(engine)


def acting(account: Account, address: str = "192.0.2.1") -> AuditActor:
    """Return an account as the actor of a change."""
    return AuditActor(CurrentUser(account.id, account.name, account.role, account.version), address)


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Run calls in threads at the same time; return the result or the error of each."""
    barrier = threading.Barrier(len(calls))

    def make(call: Callable[[], object]) -> object:
        barrier.wait(10)
        try:
            return call()
        except (AuthenticationError, ConflictError, NotFoundError) as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))


ENDS: dict[str, Callable[[SqlAccountStore, str, AuditActor], object]] = {
    "disable": lambda store, name, by: store.change(name, actor=by, disabled=True),
    "demote": lambda store, name, by: store.change(name, actor=by, role=Role.USER),
    "delete": lambda store, name, by: store.delete_by_name(name, actor=by),
}


@pytest.mark.parametrize("end", ENDS)
def test_last_active_admin_is_kept(store: SqlAccountStore, end: str) -> None:
    store.add("ada", "hash", Role.ADMIN)
    store.add("uma", "hash", Role.USER)
    store.add("dan", "hash", Role.ADMIN)
    store.change("dan", actor=SOMEBODY, disabled=True)

    with pytest.raises(ConflictError, match="ada is the last active admin"):
        ENDS[end](store, "ada", SOMEBODY)

    found = store.find("ada")
    assert found is not None
    assert (found[0].role, found[0].disabled, found[0].version) == (Role.ADMIN, False, 1)
    assert len(store.events(None, 9)) == 4


@pytest.mark.parametrize("one", ENDS)
@pytest.mark.parametrize("other", ENDS)
def test_two_admins_that_end_each_other_at_once_leave_one_admin(store: SqlAccountStore, one: str, other: str) -> None:
    before: list[str] = []
    for attempt in range(5):
        ada, bea = f"ada{attempt}", f"bea{attempt}"
        for name in (ada, bea):
            store.add(name, "hash", Role.ADMIN)
        for name in before:
            store.delete_by_name(name, actor=SOMEBODY)

        outcomes = at_once(partial(ENDS[one], store, ada, SOMEBODY), partial(ENDS[other], store, bea, SOMEBODY))

        assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 1
        before = [k.name for k in store.snapshot().accounts.values() if k.role is Role.ADMIN and not k.disabled]
        assert len(before) == 1


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "act",
    [
        lambda store, bea: store.add("eve", "hash", Role.ADMIN, actor=acting(bea)),
        lambda store, bea: store.change("uma", actor=acting(bea), role=Role.ADMIN),
        lambda store, bea: store.change("bea", actor=acting(bea), role=Role.ADMIN, disabled=False),
        lambda store, bea: store.set_password(bea, "another", actor=acting(bea)),
        lambda store, bea: store.delete_by_name("uma", actor=acting(bea)),
        lambda store, bea: store.erase_deleted(uuid.UUID(int=1), actor=acting(bea)),
        lambda store, bea: store.delete(bea.id, actor=acting(bea)),
        lambda store, bea: store.revoke_tokens("uma", actor=acting(bea)),
        lambda store, bea: store.keys.add(new_key(bea), "digest", actor=acting(bea)),
        lambda store, bea: store.keys.revoke(uuid.uuid4(), None, actor=acting(bea)),
        lambda store, bea: store.keys.revoke_token(CurrentToken(uuid.uuid4(), NOW), actor=acting(bea)),
    ],
    ids=[
        *("add", "change", "change_back", "set_password", "delete", "erase", "delete_self"),
        *("revoke_tokens", "add_key", "revoke_key", "revoke_token"),
    ],
)
def test_caller_ended_since_the_request_began_changes_nothing(
    store: SqlAccountStore, end: str, act: Callable[[SqlAccountStore, Account], object]
) -> None:
    store.add("ada", "hash", Role.ADMIN)
    bea = store.add("bea", "hash", Role.ADMIN)
    store.add("uma", "hash", Role.USER)
    ENDS[end](store, "bea", SOMEBODY)
    before = store.snapshot(), store.events(None, 99)

    with pytest.raises(AuthenticationError, match="the token is no longer valid; get a new one from POST /token"):
        act(store, bea)

    assert (store.snapshot(), store.events(None, 99)) == before


def test_admin_demoted_outside_the_api_is_rejected(engine: Engine, store: SqlAccountStore) -> None:
    bea = store.add("bea", "hash", Role.ADMIN)
    with engine.begin() as connection:
        connection.execute(update(users).values(role=Role.USER.value))

    with pytest.raises(PermissionDeniedError, match="only an admin may do this"):
        store.add("eve", "hash", Role.ADMIN, actor=acting(bea))


@pytest.mark.parametrize("one", ENDS)
@pytest.mark.parametrize("other", ENDS)
def test_slower_of_two_admins_ending_each_other_is_rejected(store: SqlAccountStore, one: str, other: str) -> None:
    store.add("zoe", "hash", Role.ADMIN)
    for attempt in range(5):
        ada, bea = (store.add(f"{name}{attempt}", "hash", Role.ADMIN) for name in ("ada", "bea"))

        outcomes = at_once(
            partial(ENDS[one], store, ada.name, acting(bea)), partial(ENDS[other], store, bea.name, acting(ada))
        )

        assert sum(isinstance(outcome, AuthenticationError) for outcome in outcomes) == 1


def test_action_of_an_admin_being_ended_is_done_or_rejected(store: SqlAccountStore) -> None:
    ada = store.add("ada", "hash", Role.ADMIN)
    uma = store.add("uma", "hash", Role.USER)
    for attempt in range(10):
        bea = store.add(f"bea{attempt}", "hash", Role.ADMIN)

        added, deleted, *_ = at_once(
            partial(store.add, f"eve{attempt}", "hash", Role.USER, actor=acting(bea)),
            partial(store.delete_by_name, bea.name, actor=acting(ada)),
            partial(store.set_password, uma, "other", actor=acting(uma)),
            partial(store.change, "uma", actor=acting(bea), disabled=False),
        )

        assert isinstance(added, Account | AuthenticationError)
        assert deleted == DeletedAccount(bea.id)
        assert (store.find(f"eve{attempt}") is None) == isinstance(added, AuthenticationError)


def test_many_admins_resigning_at_once_leave_one_admin(store: SqlAccountStore) -> None:
    names = [f"ada{number}" for number in range(8)]
    for name in names:
        store.add(name, "hash", Role.ADMIN)

    outcomes = at_once(*(partial(store.delete_by_name, name, actor=SOMEBODY) for name in names))

    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 1
    assert store.count() == 1


def test_concurrent_changes_each_increment_version(store: SqlAccountStore) -> None:
    store.add("uma", "hash", Role.USER)

    at_once(*(partial(store.change, "uma", actor=SOMEBODY, password_hash=f"{n}") for n in range(8)))

    found = store.find("uma")
    assert found is not None
    assert found[0].version == 9


def test_two_new_passwords_at_once_store_one(store: SqlAccountStore) -> None:
    account = store.add("uma", "hash", Role.USER)

    outcomes = at_once(*(partial(store.set_password, account, f"{n}", actor=SOMEBODY) for n in range(4)))

    assert sum(isinstance(outcome, Account) for outcome in outcomes) == 1


def test_change_without_effect_ends_no_token_and_logs_no_event(store: SqlAccountStore) -> None:
    account = store.add("uma", "hash", Role.USER)

    assert store.change("uma", actor=SOMEBODY, role=Role.USER, disabled=False) == account

    assert len(store.events(None, 9)) == 1


def test_each_change_raises_the_version_and_logs_its_author(store: SqlAccountStore) -> None:
    uma = store.add("uma", "hash", Role.USER, actor=SOMEBODY)

    store.change("uma", actor=SOMEBODY, role=Role.VIEWER)
    store.change("uma", actor=SOMEBODY, disabled=True)
    store.change("uma", actor=SOMEBODY, disabled=False, password_hash="other")
    found = store.get(uma.id)
    assert found is not None
    store.set_password(found[0], "another", actor=acting(found[0], "192.0.2.7"))

    recorded = store.events(None, 9)
    assert {event.action for event in recorded} == {
        *(Action.REGISTERED, Action.ROLE_CHANGED, Action.DISABLED, Action.ENABLED),
        *(Action.PASSWORD_RESET, Action.PASSWORD_CHANGED),
    }
    assert all((event.subject_id, event.subject_name) == (uma.id, "uma") for event in recorded)
    assert [(event.actor_id, event.address) for event in recorded if event.action is Action.PASSWORD_CHANGED] == [
        (uma.id, "192.0.2.7")
    ]
    assert [event.details for event in recorded if event.action is Action.ROLE_CHANGED] == [
        {"before": "user", "after": "viewer"}
    ]
    found = store.get(uma.id)
    assert found is not None
    assert (found[0].version, found[1]) == (5, "another")


def test_rejected_change_logs_no_event(engine: Engine, store: SqlAccountStore) -> None:
    store.add("uma", "hash", Role.USER)

    with pytest.raises(ConflictError):
        store.add("uma", "hash", Role.USER)

    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(account_events)).scalar_one() == 1


def test_erase_deleted_removes_name_of_deleted_account(engine: Engine, store: SqlAccountStore) -> None:
    uma = store.add("uma", "hash", Role.USER, actor=AuditActor(None, "192.0.2.9"))
    store.delete_by_name("uma", actor=SOMEBODY)
    namesake = store.add("uma", "hash", Role.USER)

    assert store.erase_deleted(uma.id, actor=SOMEBODY).id == uma.id

    recorded = [event for event in store.events(None, 9) if event.subject_id == uma.id]
    assert {event.action for event in recorded} == {Action.REGISTERED, Action.DELETED, Action.ERASED}
    assert {event.subject_name for event in recorded} == {None}
    assert store.get(namesake.id) is not None
    with engine.connect() as connection:
        assert connection.execute(select(erasures.c.user_id)).scalars().all() == [uma.id]


def test_only_a_deleted_account_before_erasure_is_found_by_id(store: SqlAccountStore) -> None:
    uma, vic, eve = (store.add(name, "hash", Role.USER) for name in ("uma", "vic", "eve"))
    store.delete_by_name("vic", actor=SOMEBODY, erase=True)
    store.delete_by_name("eve", actor=SOMEBODY)

    for user_id in (uma.id, vic.id, uuid.uuid4()):
        with pytest.raises(NotFoundError):
            store.erase_deleted(user_id, actor=SOMEBODY)
    with pytest.raises(NotFoundError):
        store.delete(eve.id, actor=SOMEBODY)


def test_erase_deleted_keeps_account_named_like_the_id(store: SqlAccountStore) -> None:
    uma = store.add("uma", "hash", Role.USER)
    namesake = store.add(str(uma.id), "hash", Role.USER)

    with pytest.raises(NotFoundError, match="no deleted account with the id"):
        store.erase_deleted(uma.id, actor=SOMEBODY)
    store.delete_by_name("uma", actor=SOMEBODY)
    assert store.erase_deleted(uma.id, actor=SOMEBODY).id == uma.id
    with pytest.raises(NotFoundError, match="delete it without erase first"):  # sent again, as after a lost answer
        store.erase_deleted(uma.id, actor=SOMEBODY)

    assert store.get(namesake.id) is not None


def test_account_named_like_an_id_is_deleted_by_its_name(store: SqlAccountStore) -> None:
    uma = store.add("uma", "hash", Role.USER)
    namesake = store.add(str(uma.id), "hash", Role.USER)
    store.delete_by_name("uma", actor=SOMEBODY)

    assert store.delete_by_name(str(uma.id), actor=SOMEBODY).id == namesake.id
    assert store.erase_deleted(namesake.id, actor=SOMEBODY).id == namesake.id

    assert {event.subject_name for event in store.events(None, 9) if event.subject_id == uma.id} == {"uma"}


def test_slower_of_two_erasures_of_an_id_finds_nothing(store: SqlAccountStore) -> None:
    ada, bea = (store.add(name, "hash", Role.ADMIN) for name in ("ada", "bea"))
    for _ in range(5):
        uma = store.add("uma", "hash", Role.USER)
        store.delete_by_name("uma", actor=SOMEBODY)

        outcomes = at_once(*(partial(store.erase_deleted, uma.id, actor=acting(one)) for one in (ada, bea)))

        assert sorted(isinstance(outcome, NotFoundError) for outcome in outcomes) == [False, True]


def test_deleted_name_can_be_reused_with_another_id(store: SqlAccountStore) -> None:
    first = store.add("uma", "hash", Role.USER)

    assert store.delete_by_name("uma", actor=SOMEBODY).id == first.id
    second = store.add("uma", "hash", Role.USER)

    assert second.id != first.id
    assert {(event.action, event.subject_name) for event in store.events(None, 9)} == {
        (Action.REGISTERED, "uma"),
        (Action.DELETED, "uma"),
    }


def test_delete_by_id_keeps_account_that_reuses_the_name(store: SqlAccountStore) -> None:
    first = store.add("uma", "hash", Role.USER)
    store.delete_by_name("uma", actor=SOMEBODY)
    store.add("uma", "hash", Role.USER)

    with pytest.raises(NotFoundError):
        store.delete(first.id, actor=SOMEBODY)


def test_erase_keeps_only_the_id(engine: Engine, store: SqlAccountStore) -> None:
    ada = store.add("ada", "hash", Role.ADMIN)
    uma = store.add("uma", "hash", Role.USER, actor=AuditActor(None, "192.0.2.7"))
    other = store.add("vic", "hash", Role.USER)
    store.set_password(uma, "another", actor=acting(uma, "192.0.2.7"))

    store.delete_by_name("uma", actor=acting(ada), erase=True)

    recorded = store.events(None, 9)
    of_uma = [event for event in recorded if event.subject_id == uma.id]
    assert {event.action for event in of_uma} == {
        *(Action.REGISTERED, Action.PASSWORD_CHANGED, Action.DELETED, Action.ERASED)
    }
    assert {event.subject_name for event in of_uma} == {None}
    assert {event.address for event in of_uma} == {None, acting(ada).address}
    assert [event.subject_name for event in recorded if event.subject_id == other.id] == ["vic"]
    with engine.connect() as connection:
        assert connection.execute(select(erasures.c.user_id)).scalars().all() == [uma.id]
        assert connection.execute(select(users.c.name).order_by(users.c.name)).scalars().all() == ["ada", "vic"]


def test_accounts_and_events_are_read_in_pages(store: SqlAccountStore) -> None:
    for name in ("b", "a_", "a", "a-b", "c.d", "a@b"):
        store.add(name, "hash", Role.USER)

    names: list[str] = []
    while page := store.page(names[-1] if names else "", 2):
        names += [account.name for account in page]
    events = list(store.events(None, 2))
    while page_of_events := store.events(events[-1].id, 2):
        events += page_of_events

    assert sorted(names) == sorted(["b", "a_", "a", "a-b", "c.d", "a@b"])
    assert len({event.id for event in events}) == len(events) == 6
    assert [event.id for event in events] == sorted((event.id for event in events), reverse=True)


def test_only_locks_of_existing_accounts_are_logged(store: SqlAccountStore) -> None:
    store.add("uma", "hash", Role.USER)

    for name in ("uma", "unknown"):
        store.record_lockout(name, actor=AuditActor(address="192.0.2.7"))

    assert [event.subject_name for event in store.events(None, 9) if event.action is Action.LOGIN_LOCKED] == ["uma"]


def test_renew_hash_keeps_version_and_newer_hash(store: SqlAccountStore) -> None:
    uma = store.add("uma", "old", Role.USER)

    store.renew_hash(uma, "old", "new")
    store.renew_hash(uma, "old", "of an old password")

    assert store.find("uma") == (uma, "new")


def test_attempts_count_failures_of_concurrent_threads(store: SqlAccountStore) -> None:
    attempts = store.attempts

    at_once(*(lambda: attempts.add(["name", "address"], NOW, NOW + 300) for _ in range(8)))

    counted = attempts.read(["name", "address", "other"], NOW)
    assert {key: tally.count for key, tally in counted.items()} == {"name": 8, "address": 8}
    assert {tally.expires_at for tally in counted.values()} == {NOW + 300}


def test_attempts_restart_count_after_expiry(store: SqlAccountStore) -> None:
    attempts = store.attempts
    attempts.add(["name"], NOW, NOW + 300)

    assert attempts.add(["name"], NOW + 299, NOW + 599)["name"].expires_at == NOW + 300
    assert attempts.read(["name"], NOW + 300) == {}
    assert attempts.add(["name"], NOW + 300, NOW + 600)["name"].count == 1


def test_prune_deletes_expired_attempts(engine: Engine, store: SqlAccountStore) -> None:
    store.attempts.add(["old"], NOW, NOW + 300)
    store.attempts.add(["new"], NOW, NOW + 301)

    store.attempts.prune(NOW + 300)

    with engine.connect() as connection:
        assert connection.execute(select(login_attempts.c.key)).scalars().all() == ["new"]


def test_failed_logins_are_remembered_longer_each_time(store: SqlAccountStore) -> None:
    store.attempts.add(["pair"], NOW, NOW + 300)

    for later in (0, 10):
        store.attempts.clear("pair", mark=("known", NOW + later + 1_000))

    assert {k: (t.count, t.expires_at) for k, t in store.attempts.read(["pair", "known"], NOW).items()} == {
        "known": (0, NOW + 1_010)
    }


def new_key(owner: Account, **fields: Any) -> ApiKey:
    key = ApiKey(uuid7(), owner.id, "scores", "nightly", ("iris",), (KeyAction.PREDICT,), datetime.now(UTC), None)
    return replace(key, **fields)


def test_keys_are_stored_and_read_in_pages(store: SqlAccountStore) -> None:
    uma, vic = (store.add(name, "hash", Role.USER) for name in ("uma", "vic"))
    soon = datetime.now(UTC) + timedelta(hours=1)
    keys = [new_key(uma), new_key(vic, models=None), new_key(uma, expires_at=soon), new_key(uma)]
    for key in keys:
        store.keys.add(key, "digest", actor=acting(vic if key.user_id == vic.id else uma))

    first = store.keys.page(uma.id, None, 2)
    second = store.keys.page(uma.id, first[-1].key.id, 2)

    assert [one.key for one in (*first, *second)] == [keys[3], keys[2], keys[0]]
    assert [(one.key, one.owner) for one in store.keys.page(None, None, 9)][2] == (keys[1], "vic")
    cached = store.snapshot().keys
    assert cached.keys() == {key.id for key in keys}
    assert (cached[keys[1].id].models, cached[keys[2].id].expires) == (None, soon.timestamp())


def test_key_ends_with_its_expiry_its_revocation_and_its_account(store: SqlAccountStore) -> None:
    uma, vic = (store.add(name, "hash", Role.USER) for name in ("uma", "vic"))
    expired, revoked, kept = new_key(uma, expires_at=datetime.now(UTC)), new_key(uma), new_key(uma)
    for key in (expired, revoked, kept):
        store.keys.add(key, "digest", actor=acting(uma))

    with pytest.raises(NotFoundError):
        store.keys.revoke(revoked.id, vic.id, actor=acting(vic))
    store.keys.revoke(revoked.id, uma.id, actor=acting(uma))

    assert store.snapshot().keys.keys() == {kept.id}
    assert [(event.action, event.details) for event in store.events(None, 1)] == [
        (Action.KEY_REVOKED, {"key_id": str(revoked.id)})
    ]
    store.delete_by_name("uma", actor=SOMEBODY)
    assert store.snapshot().keys == {}
    assert store.keys.page(None, None, 9) == []


def test_concurrent_keys_stay_within_the_limit(store: SqlAccountStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_repository, "MAX_KEYS_OF_ACCOUNT", 3)
    uma = store.add("uma", "hash", Role.USER)

    outcomes = at_once(*(partial(store.keys.add, new_key(uma), "digest", actor=acting(uma)) for _ in range(6)))

    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 3
    assert len(store.snapshot().keys) == 3


def test_last_use_never_goes_back_and_skips_locked_rows(engine: Engine, store: SqlAccountStore) -> None:
    uma = store.add("uma", "hash", Role.USER)
    key, other = new_key(uma), new_key(uma)
    for one in (key, other):
        store.keys.add(one, "digest", actor=acting(uma))

    for at in (NOW + 5, NOW):
        store.keys.record_uses({key.id: at, other.id: at, uuid.uuid4(): at})
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(select(api_keys.c.id).where(api_keys.c.id == other.id).with_for_update())
            store.keys.record_uses({key.id: NOW + 9, other.id: NOW + 9})
    else:
        store.keys.record_uses({key.id: NOW + 9})

    used = {one.key.id: one.key.last_used_at for one in store.keys.page(None, None, 9)}
    assert {i: at and at.timestamp() for i, at in used.items()} == {key.id: NOW + 9, other.id: NOW + 5}


def test_revoked_token_stays_revoked_until_it_expires(store: SqlAccountStore) -> None:
    uma = store.add("uma", "hash", Role.USER)
    token, expired = CurrentToken(uuid.uuid4(), time.time() + 60), CurrentToken(uuid.uuid4(), time.time() - 1)

    for one in (token, expired):
        store.keys.revoke_token(one, actor=acting(uma))

    assert store.snapshot().revoked == {token.id: pytest.approx(token.expires, abs=1e-3)}
    user = CurrentUser(uma.id, "uma", Role.USER, 1, token)
    with pytest.raises(AuthenticationError):
        store.set_password(uma, "another", actor=AuditActor(user))
    with pytest.raises(AuthenticationError):
        store.keys.revoke_token(token, actor=AuditActor(user))


def test_prune_deletes_old_keys_and_expired_revocations(engine: Engine, store: SqlAccountStore) -> None:
    uma = store.add("uma", "hash", Role.USER)
    moment = datetime.fromtimestamp(NOW, UTC)
    old, newer = (new_key(uma, expires_at=moment - timedelta(days=days)) for days in (30, 29))
    for key in (old, newer, endless := new_key(uma)):
        store.keys.add(key, "digest", actor=acting(uma))
    tokens = [CurrentToken(uuid.uuid4(), NOW - 3600 + seconds) for seconds in (0, 1)]
    for token in tokens:
        store.keys.revoke_token(token, actor=acting(uma))

    store.keys.prune(NOW)

    assert {one.key.id for one in store.keys.page(None, None, 9)} == {newer.id, endless.id}
    with engine.connect() as connection:
        assert connection.execute(select(revoked_tokens.c.id)).scalars().all() == [tokens[1].id]


def test_event_outlives_its_account(engine: Engine, store: SqlAccountStore) -> None:
    store.add("uma", "hash", Role.USER)

    with engine.begin() as connection:
        connection.execute(delete(users))

    assert len(store.events(None, 9)) == 1

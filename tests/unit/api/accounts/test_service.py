"""The use cases of accounts: who may run them, the events they write, and the directory after them."""

import asyncio
import inspect
import shutil
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, delete, event
from sqlalchemy.exc import OperationalError

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.events import AccountEvent, AuditActor
from slipway_api.accounts.login_throttle import Limits
from slipway_api.accounts.models import Account, CachedAccount, CurrentUser, FirstAdmin, Role
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.accounts.service import AccountService
from slipway_api.errors import AuthenticationError, NotReadyError, PermissionDeniedError
from slipway_core.database import connect
from slipway_core.tables import users
from support.accounts import account_service
from support.api import NAMES, PASSWORD, Database
from support.waiting import wait_for

NEW_PASSWORD = "another horse battery"
ADDRESS = "192.0.2.7"


@dataclass(frozen=True)
class World:
    """A service over a database with ada (admin), uma (user) and vic (viewer)."""

    service: AccountService
    store: SqlAccountStore
    engine: Engine
    accounts: dict[str, Account]

    def actor(self, name: str) -> AuditActor:
        account = self.accounts[name]
        return AuditActor(CurrentUser(account.id, name, account.role, account.version), ADDRESS)

    def token(self, user_id: uuid.UUID) -> str:
        """Return a new token of an account as it is in the database."""
        found = self.store.get(user_id)
        assert found is not None
        return self.service.tokens.issue(found[0])

    def refresh(self) -> None:
        assert self.service.directory.refresh()

    def cached(self) -> dict[uuid.UUID, CachedAccount]:
        return dict(self.service.directory._accounts)

    def stored(self) -> tuple[dict[uuid.UUID, CachedAccount], list[AccountEvent]]:
        return self.store.snapshot(), list(self.store.events(None, 99))


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[World]:
    shutil.copy(database.file, tmp_path / "slipway.db")
    engine = connect(f"sqlite:///{tmp_path / 'slipway.db'}")
    store = SqlAccountStore(engine)
    # A clock ahead of the tokens' keeps `authenticate` from refreshing, which would hide a missing update.
    directory = AccountDirectory(lambda: store, 900.0, wall_clock=lambda: time.time() + 60)
    service = account_service(
        directory,
        FirstAdmin("root", NEW_PASSWORD),
        registration_is_open=True,
        limits=Limits(per_name=1, per_address=9, window_seconds=300),
    )
    assert directory.refresh()
    directory.first_refresh_done.set()
    accounts = {name: database.accounts[role] for role, name in NAMES.items()}
    yield World(service, store, engine, accounts)
    service.close()
    engine.dispose()


Act = Callable[[World, AuditActor], Awaitable[object]]


@dataclass(frozen=True)
class UseCase:
    """A use case that changes accounts or writes events.

    Attributes:
        method: the method of the service.
        actor: the name of the user that acts; None without a token.
        act: runs it.
        actions: the events that it writes, oldest first.
        changes_account: whether it changes an account, or only writes an event.
        prepare: brings the database into the state that it needs.
    """

    method: str
    actor: str | None
    act: Act
    actions: tuple[str, ...]
    changes_account: bool = True
    prepare: Callable[[World], object] = lambda _world: None


def without_accounts(world: World) -> None:
    with world.engine.begin() as connection:
        connection.execute(delete(users))


USE_CASES = {
    "create": UseCase(
        "create_account",
        "ada",
        lambda world, actor: world.service.create_account(actor, "bea", PASSWORD, Role.VIEWER),
        ("registered",),
    ),
    "register": UseCase(
        "create_account",
        None,
        lambda world, actor: world.service.create_account(actor, "bea", PASSWORD, Role.USER),
        ("registered",),
    ),
    "first admin": UseCase(
        "create_first_admin",
        None,
        lambda world, _actor: world.service.create_first_admin(),
        ("first_admin_made",),
        prepare=without_accounts,
    ),
    "change role": UseCase(
        "change_account",
        "ada",
        lambda world, actor: world.service.change_account(actor, "uma", role=Role.VIEWER),
        ("role_changed",),
    ),
    "disable": UseCase(
        "change_account",
        "ada",
        lambda world, actor: world.service.change_account(actor, "uma", disabled=True),
        ("disabled",),
    ),
    "enable": UseCase(
        "change_account",
        "ada",
        lambda world, actor: world.service.change_account(actor, "uma", disabled=False),
        ("enabled",),
        prepare=lambda world: world.store.change("uma", actor=AuditActor(), disabled=True),
    ),
    "reset password": UseCase(
        "change_account",
        "ada",
        lambda world, actor: world.service.change_account(actor, "uma", password=NEW_PASSWORD),
        ("password_reset",),
    ),
    "change own password": UseCase(
        "change_own_password",
        "uma",
        lambda world, actor: world.service.change_own_password(actor, PASSWORD, NEW_PASSWORD),
        ("password_changed",),
    ),
    "delete own account": UseCase(
        "delete_account",
        "uma",
        lambda world, actor: world.service.delete_account(actor, world.accounts["uma"].id),
        ("deleted",),
    ),
    "erase own account": UseCase(
        "delete_account",
        "uma",
        lambda world, actor: world.service.delete_account(actor, world.accounts["uma"].id, erase=True),
        ("deleted", "erased"),
    ),
    "delete by id": UseCase(
        "delete_account",
        "ada",
        lambda world, actor: world.service.delete_account(actor, world.accounts["uma"].id),
        ("deleted",),
    ),
    "delete by name": UseCase(
        "delete_account_by_name",
        "ada",
        lambda world, actor: world.service.delete_account_by_name(actor, " Uma "),
        ("deleted",),
    ),
    "erase by name": UseCase(
        "delete_account_by_name",
        "ada",
        lambda world, actor: world.service.delete_account_by_name(actor, "uma", erase=True),
        ("deleted", "erased"),
    ),
    "erase deleted account": UseCase(
        "erase_deleted_account",
        "ada",
        lambda world, actor: world.service.erase_deleted_account(actor, world.accounts["uma"].id),
        ("erased",),
        changes_account=False,
        prepare=lambda world: world.store.delete_by_name("uma", actor=AuditActor()),
    ),
    "lock out": UseCase(
        "log_in",
        None,
        lambda world, actor: world.service.log_in("uma", NEW_PASSWORD, actor.address),
        ("login_locked",),
        changes_account=False,
    ),
}
BY_ADMIN = {name: case for name, case in USE_CASES.items() if case.actor == "ada"}
BY_USER = {name: case for name, case in USE_CASES.items() if case.actor is not None}
# These write no events and change no account.
READ_ONLY = {"authenticate", "get_own_account", "list_accounts", "list_events", "watch"}


def run(world: World, case: UseCase, actor: AuditActor | None = None) -> object:
    """Run a use case, and return its result or its error."""
    by = actor or (AuditActor(address=ADDRESS) if case.actor is None else world.actor(case.actor))

    async def act() -> object:
        return await case.act(world, by)

    try:
        return asyncio.run(act())
    except (AuthenticationError, NotReadyError, PermissionDeniedError) as error:
        return error


def authenticates(world: World, token: str) -> bool:
    try:
        asyncio.run(world.service.authenticate(token.encode()))
    except AuthenticationError:
        return False
    return True


def fail_commits_of_events(engine: Engine, on_commit: Callable[[], None]) -> None:
    """Call a function before each commit of a transaction that has written an event."""

    @event.listens_for(engine, "before_cursor_execute")
    def note_event(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("INSERT INTO account_events"):
            connection.info["wrote_event"] = True

    @event.listens_for(engine, "commit")
    def commit(connection: Connection) -> None:
        if connection.info.pop("wrote_event", False):
            on_commit()


def refuse_commit() -> None:
    raise OperationalError("COMMIT", {}, Exception("the disk is full"))


def test_use_case_table_covers_every_method_of_the_service() -> None:
    methods = {name for name, _ in inspect.getmembers(AccountService, inspect.iscoroutinefunction) if name[0] != "_"}

    assert methods == READ_ONLY | {case.method for case in USE_CASES.values()}


@pytest.mark.parametrize("case", USE_CASES.values(), ids=USE_CASES)
def test_use_case_records_event_and_updates_directory(world: World, case: UseCase) -> None:
    case.prepare(world)
    world.refresh()
    before, earlier = world.stored()
    tokens = {user_id: world.token(user_id) for user_id in before}

    run(world, case)

    after, events = world.stored()
    recorded = events[: len(events) - len(earlier)][::-1]
    assert tuple(one.action.value for one in recorded) == case.actions
    [subject_id] = {one.subject_id for one in recorded}
    assert (before.get(subject_id) == after.get(subject_id)) == (not case.changes_account)
    actor_id = None if case.actor is None else world.accounts[case.actor].id
    assert {(one.actor_id, one.address) for one in recorded} <= {(actor_id, ADDRESS), (actor_id, None)}
    assert world.cached() == after
    for user_id, token in tokens.items():
        is_unchanged = after.get(user_id) == before[user_id]
        assert authenticates(world, token) == (is_unchanged and not before[user_id].disabled)
    for user_id in after:
        assert authenticates(world, world.token(user_id)) == (not after[user_id].disabled)


@pytest.mark.parametrize("case", USE_CASES.values(), ids=USE_CASES)
def test_failed_transaction_leaves_no_event_and_no_change(world: World, case: UseCase) -> None:
    case.prepare(world)
    world.refresh()
    before, cached = world.stored(), world.cached()
    fail_commits_of_events(world.engine, refuse_commit)

    outcome = run(world, case)

    assert outcome is False if case.method == "create_first_admin" else isinstance(outcome, NotReadyError)
    assert (world.stored(), world.cached()) == (before, cached)


@pytest.mark.parametrize("case", BY_ADMIN.values(), ids=BY_ADMIN)
def test_use_case_of_admins_rejects_other_roles(world: World, case: UseCase) -> None:
    case.prepare(world)
    world.refresh()
    before = world.stored()

    outcome = run(world, case, world.actor("vic"))

    assert isinstance(outcome, PermissionDeniedError)
    assert world.stored() == before


@pytest.mark.parametrize("case", BY_USER.values(), ids=BY_USER)
@pytest.mark.parametrize("is_cached", [True, False], ids=["cached", "not cached"])
def test_use_case_rejects_actor_revoked_since_request(world: World, case: UseCase, is_cached: bool) -> None:
    assert case.actor is not None
    actor = world.actor(case.actor)
    case.prepare(world)
    world.store.add("zoe", "hash", Role.ADMIN)
    world.refresh()
    world.store.change(case.actor, actor=AuditActor(), role=Role.VIEWER)
    if is_cached:
        world.refresh()
    before = world.stored()

    outcome = run(world, case, actor)

    assert isinstance(outcome, AuthenticationError)
    assert world.stored() == before


@pytest.mark.parametrize("name", ["disable", "delete by name"])
def test_cancelled_request_still_updates_directory(world: World, name: str) -> None:
    committing, released = threading.Event(), threading.Event()

    def wait() -> None:
        committing.set()
        assert released.wait(10)

    fail_commits_of_events(world.engine, wait)

    async def cancel() -> None:
        async def act() -> object:
            return await USE_CASES[name].act(world, world.actor("ada"))

        task = asyncio.create_task(act())
        assert await asyncio.to_thread(committing.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()

    token = world.token(world.accounts["uma"].id)

    asyncio.run(cancel())

    wait_for(lambda: not authenticates(world, token), seconds=5, what="the revocation")

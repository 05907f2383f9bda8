"""The use cases of accounts: who may run them, the events they write, and the directory after them."""

import asyncio
import inspect
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from slipway_api.accounts.credentials import Credentials
from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.login_throttle import Limits
from slipway_api.accounts.models import FirstAdmin, Role
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.accounts.service import AccountService
from slipway_api.errors import AuthenticationError, NotReadyError, PermissionDeniedError
from slipway_core.database import connect
from support.account_use_cases import ADDRESS, BY_ADMIN, BY_USER, NEW_PASSWORD, READ_ONLY, USE_CASES, UseCase, World
from support.accounts import account_service
from support.api import NAMES, Database
from support.waiting import wait_for


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
        asyncio.run(world.service.authentication.authenticate(token.encode()))
    except AuthenticationError:
        return False
    return True


def fail_commits_of_events(engine: Engine, on_commit: Callable[[], None]) -> None:
    """Call a function before each commit of a transaction that has written an event."""

    @event.listens_for(engine, "before_cursor_execute")
    def mark_event(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("INSERT INTO account_events"):
            connection.info["wrote_event"] = True

    @event.listens_for(engine, "commit")
    def commit(connection: Connection) -> None:
        if connection.info.pop("wrote_event", False):
            on_commit()


def reject_commit() -> None:
    raise OperationalError("COMMIT", {}, Exception("the disk is full"))


def test_use_case_table_covers_every_method_of_the_service() -> None:
    methods = {
        name
        for service in (AccountService, Credentials)
        for name, _ in inspect.getmembers(service, inspect.iscoroutinefunction)
        if name[0] != "_"
    }

    assert methods == READ_ONLY | {case.method for case in USE_CASES.values()}


@pytest.mark.parametrize("case", USE_CASES.values(), ids=USE_CASES)
def test_use_case_records_event_and_updates_directory(world: World, case: UseCase) -> None:
    case.prepare(world)
    world.refresh()
    before, earlier = world.stored()
    tokens = {user_id: world.token(user_id) for user_id in before.accounts}

    run(world, case)

    after, events = world.stored()
    recorded = events[: len(events) - len(earlier)][::-1]
    assert tuple(one.action.value for one in recorded) == case.actions
    [subject_id] = {one.subject_id for one in recorded}
    assert (before.accounts.get(subject_id) == after.accounts.get(subject_id)) == (not case.changes_account)
    actor_id = None if case.actor is None else world.accounts[case.actor].id
    assert {(one.actor_id, one.address) for one in recorded} <= {(actor_id, ADDRESS), (actor_id, None)}
    assert world.cached() == after
    for user_id, token in tokens.items():
        is_unchanged = after.accounts.get(user_id) == before.accounts[user_id]
        assert authenticates(world, token) == (is_unchanged and not before.accounts[user_id].disabled)
    for user_id in after.accounts:
        assert authenticates(world, world.token(user_id)) == (not after.accounts[user_id].disabled)


@pytest.mark.parametrize("case", USE_CASES.values(), ids=USE_CASES)
def test_failed_transaction_leaves_no_event_and_no_change(world: World, case: UseCase) -> None:
    case.prepare(world)
    world.refresh()
    before, cached = world.stored(), world.cached()
    fail_commits_of_events(world.engine, reject_commit)

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

"""Accounts in the database."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.models import CachedAccount, Role, Snapshot
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.errors import ConflictError, NotReadyError
from slipway_core.database import connect
from slipway_core.migrations import upgrade


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'slipway.db'}"
    upgrade(url)
    engine = connect(url)
    yield engine
    engine.dispose()


def test_find_returns_added_account(engine: Engine) -> None:
    store = SqlAccountStore(engine)

    added = store.add("uma", "the hash", Role.VIEWER)

    assert store.find("uma") == (added, "the hash")
    assert store.find("unknown") is None
    assert store.count() == 1
    assert store.snapshot() == Snapshot({added.id: CachedAccount("uma", Role.VIEWER, 1, disabled=False)})


def test_add_rejects_taken_name(engine: Engine) -> None:
    store = SqlAccountStore(engine)
    store.add("uma", "hash", Role.USER)

    with pytest.raises(ConflictError, match="the name uma is taken"):
        store.add("uma", "hash", Role.USER)


CALLS = pytest.mark.parametrize(
    "call",
    [
        lambda store: store.add("uma", "hash", Role.USER),
        lambda store: store.find("uma"),
        lambda store: store.count(),
        lambda store: store.snapshot(),
        lambda store: store.get(uuid.uuid4()),
        lambda store: store.page("", 2),
        lambda store: store.change("uma", actor=AuditActor(), disabled=True),
        lambda store: store.delete_by_name("uma", actor=AuditActor()),
        lambda store: store.events(None, 2),
        lambda store: store.record_lockout("uma", actor=AuditActor()),
        lambda store: store.attempts.read(["key"], 0.0),
        lambda store: store.attempts.add(["key"], 0.0, 1.0),
        lambda store: store.attempts.clear("key"),
        lambda store: store.attempts.prune(0.0),
    ],
    ids=[
        *("add", "find", "count", "snapshot", "get", "page", "change", "delete", "events", "record_lockout"),
        *("read_attempts", "add_attempts", "clear_attempts", "prune_attempts"),
    ],
)


@CALLS
def test_call_is_not_ready_while_database_is_unavailable(
    tmp_path: Path, call: Callable[[SqlAccountStore], object]
) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'no-folder' / 'slipway.db'}")

    with pytest.raises(NotReadyError, match="database is away"):
        call(SqlAccountStore(engine))


@CALLS
def test_call_is_not_ready_while_tables_are_missing(engine: Engine, call: Callable[[SqlAccountStore], object]) -> None:
    with engine.begin() as connection:
        for table in ("users", "account_events", "login_attempts"):
            connection.execute(text(f"DROP TABLE {table}"))

    with pytest.raises(NotReadyError, match="run `slipway-api migrate`"):
        call(SqlAccountStore(engine))

"""Accounts in the database."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from slipway_api.accounts.events import Actor
from slipway_api.accounts.models import Known, Role
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


def test_an_account_is_found_as_it_was_added(engine: Engine) -> None:
    store = SqlAccountStore(engine)

    added = store.add("uma", "the hash", Role.VIEWER)

    assert store.find("uma") == (added, "the hash")
    assert store.find("nobody") is None
    assert store.count() == 1
    assert store.snapshot() == {added.id: Known("uma", Role.VIEWER, 1, disabled=False)}


def test_a_taken_name_is_a_conflict(engine: Engine) -> None:
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
        lambda store: store.change("uma", by=Actor(), disabled=True),
        lambda store: store.delete("uma", by=Actor()),
        lambda store: store.events(None, 2),
        lambda store: store.tell_locked("uma", by=Actor()),
        lambda store: store.attempts.read(["key"], 0.0),
        lambda store: store.attempts.add(["key"], 0.0, 1.0),
        lambda store: store.attempts.forget("key"),
        lambda store: store.attempts.prune(0.0),
    ],
    ids=[
        *("add", "find", "count", "snapshot", "get", "page", "change", "delete", "events", "tell_locked"),
        *("read_attempts", "add_attempts", "forget_attempts", "prune_attempts"),
    ],
)


@CALLS
def test_each_call_tells_that_the_database_is_away(tmp_path: Path, call: Callable[[SqlAccountStore], object]) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'no-folder' / 'slipway.db'}")

    with pytest.raises(NotReadyError, match="database is away"):
        call(SqlAccountStore(engine))


@CALLS
def test_each_call_tells_that_there_are_no_tables(engine: Engine, call: Callable[[SqlAccountStore], object]) -> None:
    with engine.begin() as connection:
        for table in ("users", "account_events", "login_attempts"):
            connection.execute(text(f"DROP TABLE {table}"))

    with pytest.raises(NotReadyError, match="run `slipway-api migrate`"):
        call(SqlAccountStore(engine))

"""Accounts in the database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from slipway_api.account_store import SqlAccountStore
from slipway_api.accounts import Known, Role
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
    ],
    ids=["add", "find", "count", "snapshot"],
)


@CALLS
def test_each_call_tells_that_the_database_is_away(tmp_path: Path, call: Callable[[SqlAccountStore], object]) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'no-folder' / 'slipway.db'}")

    with pytest.raises(NotReadyError, match="database is away"):
        call(SqlAccountStore(engine))


@CALLS
def test_each_call_tells_that_there_are_no_tables(engine: Engine, call: Callable[[SqlAccountStore], object]) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE users"))

    with pytest.raises(NotReadyError, match="run `slipway-api migrate`"):
        call(SqlAccountStore(engine))

"""The tables: times are read in UTC, and names are unique."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, select
from sqlalchemy.exc import IntegrityError

from slipway_core.database import connect
from slipway_core.tables import UtcDateTime, metadata, users

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
moments = Table("moments", MetaData(), Column("id", Integer, primary_key=True), Column("at", UtcDateTime))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(f"sqlite:///{tmp_path / 'slipway.db'}")
    metadata.create_all(engine)
    moments.create(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("at", [None, *(NOON.astimezone(timezone(timedelta(hours=h))) for h in (0, 5.5, -8))])
def test_time_of_any_zone_is_read_in_utc(engine: Engine, at: datetime | None) -> None:
    with engine.begin() as connection:
        connection.execute(insert(moments).values(at=at))
        read = connection.execute(select(moments.c.at)).scalar_one()

    assert read == at
    assert read is None or read.tzinfo is UTC


def test_times_are_compared_as_instants(engine: Engine) -> None:
    later_elsewhere = (NOON + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=-8)))
    with engine.begin() as connection:
        connection.execute(insert(moments).values(at=NOON))

        found = connection.execute(select(moments.c.at).where(moments.c.at < later_elsewhere)).scalars().all()

    assert found == [NOON]


def account(**changes: object) -> dict[str, object]:
    fields = {
        "id": uuid.uuid4(),
        "name": "grace",
        "password_hash": "x",
        "role": "user",
        "version": 1,
        "disabled": False,
        "created_at": NOON,
    }
    return {**fields, **changes}


def test_account_is_read_back_unchanged(engine: Engine) -> None:
    written = account(disabled=True)

    with engine.begin() as connection:
        connection.execute(insert(users).values(written))
        read = connection.execute(select(users)).one()

    assert dict(read._mapping) == written


@pytest.mark.parametrize("again", ["id", "name"])
def test_id_and_name_are_unique(engine: Engine, again: str) -> None:
    first, second = account(), account(name="ada")
    second[again] = first[again]

    with engine.connect() as connection:
        connection.execute(insert(users).values(first))
        with pytest.raises(IntegrityError):
            connection.execute(insert(users).values(second))


@pytest.mark.parametrize("column", [column.name for column in users.columns if not column.primary_key])
def test_no_column_of_an_account_may_be_null(engine: Engine, column: str) -> None:
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(users).values(account(**{column: None})))

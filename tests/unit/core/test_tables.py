"""The tables: times keep their instant and are read in UTC, and names are unique."""

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


@pytest.mark.parametrize("hours", [0, 5.5, -8])
def test_a_time_of_any_zone_is_read_as_the_same_instant_in_utc(engine: Engine, hours: float) -> None:
    there = NOON.astimezone(timezone(timedelta(hours=hours)))
    with engine.begin() as connection:
        connection.execute(insert(moments).values(at=there))
        read = connection.execute(select(moments.c.at)).scalar_one()

    assert read == NOON
    assert read.tzinfo is UTC


def test_no_time_stays_no_time(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(moments).values(at=None))

        assert connection.execute(select(moments.c.at)).scalar_one() is None


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


def test_an_account_is_read_as_it_was_written(engine: Engine) -> None:
    written = account(disabled=True)

    with engine.begin() as connection:
        connection.execute(insert(users).values(written))
        read = connection.execute(select(users)).one()

    assert dict(read._mapping) == written


@pytest.mark.parametrize("again", ["id", "name"])
def test_an_id_and_a_name_are_taken_once(engine: Engine, again: str) -> None:
    first, second = account(), account(name="ada")
    second[again] = first[again]

    with engine.connect() as connection:
        connection.execute(insert(users).values(first))
        with pytest.raises(IntegrityError):
            connection.execute(insert(users).values(second))


@pytest.mark.parametrize("column", [column.name for column in users.columns if not column.primary_key])
def test_an_account_lacks_nothing(engine: Engine, column: str) -> None:
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(users).values(account(**{column: None})))

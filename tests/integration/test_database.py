"""Slipway's own database on a real PostgreSQL: concurrent migrations, times and broken connections."""

import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, Engine, event, insert, select, text
from sqlalchemy.exc import IntegrityError

from slipway_core.database import connect
from slipway_core.errors import ConfigurationError
from slipway_core.migrations import upgrade
from slipway_core.tables import users
from support.waiting import wait_for

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


def add_account(engine: Engine, name: str = "grace", created_at: datetime = NOON) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(users).values(
                id=uuid.uuid4(),
                name=name,
                password_hash="x",
                role="user",
                version=1,
                disabled=False,
                created_at=created_at,
            )
        )


def waits_for_a_lock(engine: Engine) -> bool:
    """Return whether another connection to the database waits for a lock."""
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"
            )
        )
        return bool(found.scalar_one())


def test_replica_starting_during_an_upgrade_succeeds(postgres_url: str) -> None:
    program = f"from slipway_core.migrations import upgrade; upgrade({postgres_url!r})"
    observer = connect(postgres_url)
    others: list[subprocess.Popen[str]] = []

    def start_another(_connection: Connection) -> None:
        """Start a second replica before the first one commits."""
        if not others:
            others.append(subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True))
            wait_for(lambda: waits_for_a_lock(observer) or others[0].poll() is not None, seconds=30)

    event.listen(Engine, "commit", start_another)
    try:
        upgrade(postgres_url)
    finally:
        event.remove(Engine, "commit", start_another)
        observer.dispose()

    told = others[0].communicate(timeout=30)[1]
    assert others[0].returncode == 0, told


def test_missing_database_is_reported(postgres_address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the database of DATABASE_URL cannot be migrated"):
        upgrade(f"{postgres_address}/missing")


def test_account_without_create_permission_is_reported(postgres_url: str) -> None:
    reader = f"reader_{uuid.uuid4().hex}"
    engine = connect(postgres_url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {reader} LOGIN"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    engine.dispose()

    with pytest.raises(ConfigurationError, match="that the account may create tables"):
        upgrade(postgres_url.replace("slipway@", f"{reader}@"))


def test_time_is_read_as_the_same_utc_instant_in_any_server_zone(postgres_url: str) -> None:
    upgrade(postgres_url)
    engine = connect(postgres_url)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {engine.url.database} SET timezone TO 'Asia/Kolkata'"))
    engine.dispose()

    add_account(engine, created_at=NOON.astimezone(timezone(timedelta(hours=-8))))

    with engine.connect() as connection:
        assert connection.execute(text("SHOW timezone")).scalar_one() == "Asia/Kolkata"
        read = connection.execute(select(users.c.created_at)).scalar_one()
    engine.dispose()
    assert read == NOON
    assert read.tzinfo is UTC


def test_name_of_an_account_is_unique(postgres_url: str) -> None:
    upgrade(postgres_url)
    engine = connect(postgres_url)
    add_account(engine)

    with pytest.raises(IntegrityError):
        add_account(engine)
    engine.dispose()


def test_connection_closed_by_the_server_is_replaced(postgres_url: str) -> None:
    engine = connect(postgres_url)
    with engine.connect() as connection:
        ended = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = connect(postgres_url)
    with other.connect() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend({int(ended)}, 5000)"))
    other.dispose()

    with engine.connect() as connection:
        now = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    engine.dispose()

    assert now != ended

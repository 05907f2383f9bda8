"""Slipway's own database: its addresses, and the options of its connections."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from slipway_core.database import connect, database_url
from slipway_core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@db:5433/slipway", "postgresql+psycopg2://u:p@db:5433/slipway"),
        ("postgres://u:p@db/slipway", "postgresql+psycopg2://u:p@db/slipway"),
        ("postgresql+psycopg2://u:p@db/slipway", "postgresql+psycopg2://u:p@db/slipway"),
        ("postgresql+asyncpg://u:p@db/slipway", "postgresql+psycopg2://u:p@db/slipway"),
        (
            "postgresql://u:p%40ss@db/slipway?sslmode=require",
            "postgresql+psycopg2://u:p%40ss@db/slipway?sslmode=require",
        ),
        ("sqlite:///slipway.db", "sqlite:///slipway.db"),
        ("sqlite:////var/lib/slipway.db", "sqlite:////var/lib/slipway.db"),
        ("sqlite+aiosqlite:///slipway.db", "sqlite:///slipway.db"),
    ],
)
def test_database_url_gets_the_installed_driver(url: str, expected: str) -> None:
    assert database_url(url).render_as_string(hide_password=False) == expected


@pytest.mark.parametrize("url", ["", "slipway.db", "postgresql//db", "postgresql://u:hunter2@db:port/slipway"])
def test_invalid_database_url_is_rejected_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL is not a database URL; write sqlite:///") as caught:
        database_url(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://u:hunter2@db/slipway", "mssql+pyodbc://u:hunter2@db/slipway"])
def test_unsupported_database_is_reported_by_its_name(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(url)

    name = url.partition(":")[0].partition("+")[0]
    assert str(caught.value) == f"DATABASE_URL names {name}; Slipway keeps its tables in SQLite or PostgreSQL"


@pytest.mark.parametrize("url", ["postgresql://u:p@db.invalid/slipway", "sqlite:///no/such/folder/slipway.db"])
def test_engine_does_not_connect_at_once(url: str) -> None:
    engine = connect(url)

    assert engine.pool.status()
    engine.dispose()


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [("journal_mode", "wal"), ("busy_timeout", 5000), ("foreign_keys", 1)],
    ids=["readers and a writer at once", "wait for a lock", "references are held"],
)
def test_every_sqlite_connection_has_the_pragmas(tmp_path: Path, pragma: str, expected: object) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'slipway.db'}")

    with engine.connect() as first, engine.connect() as second:
        found = [connection.execute(text(f"PRAGMA {pragma}")).scalar_one() for connection in (first, second)]
    engine.dispose()

    assert found == [expected, expected]


def test_sqlite_rejects_a_dangling_reference(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'slipway.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE parent (id INTEGER PRIMARY KEY)"))
        connection.execute(text("CREATE TABLE child (parent INTEGER REFERENCES parent (id))"))

    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text("INSERT INTO child VALUES (1)"))
    engine.dispose()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {"connect_timeout": "3", "tcp_user_timeout": "10000"}),
        ("?connect_timeout=30&sslmode=require", {"connect_timeout": "30", "sslmode": "require"}),
    ],
)
def test_postgresql_timeouts_yield_to_the_address(options: str, expected: dict[str, str]) -> None:
    query = connect(f"postgresql://u:p@db/slipway{options}").url.query

    assert query | expected == query

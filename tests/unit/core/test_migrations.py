"""The migrations on SQLite and PostgreSQL: they create the tables, and reject databases that they cannot upgrade."""

import sqlite3
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, insert, inspect, select, text

from slipway_core.database import connect
from slipway_core.errors import ConfigurationError
from slipway_core.migrations import state_of, upgrade
from slipway_core.tables import api_keys, metadata, users
from support.migrations import downgrade, table_names


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'slipway.db'}"


def test_migrations_create_exactly_the_tables(url: str) -> None:
    upgrade(url)

    engine = connect(url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


def test_every_constraint_has_a_name(url: str) -> None:
    upgrade(url)

    engine = connect(url)
    inspector = inspect(engine)
    names = [inspector.get_pk_constraint("users")["name"]]
    names += [constraint["name"] for constraint in inspector.get_unique_constraints("users")]
    engine.dispose()
    assert names == ["pk_users", "uq_users_name"]


def test_upgrading_twice_keeps_existing_rows(url: str) -> None:
    upgrade(url)
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(
            insert(users).values(
                id=uuid.uuid4(),
                name="grace",
                password_hash="x",
                role="user",
                version=1,
                disabled=False,
                created_at=datetime.now(UTC),
            )
        )

    upgrade(url)

    with engine.connect() as connection:
        assert connection.execute(select(users.c.name)).scalars().all() == ["grace"]
    engine.dispose()


def test_upgrade_adds_keys_to_a_database_with_accounts(url: str) -> None:
    upgrade(url, "0003")
    owner = uuid.uuid4()
    engine = connect(url)
    account = {"id": owner, "name": "grace", "password_hash": "x", "role": "user", "version": 1, "disabled": False}
    with engine.begin() as connection:
        connection.execute(insert(users).values(**account, created_at=datetime.now(UTC)))
        assert state_of(connection) == "behind"

    upgrade(url)

    key = {"id": uuid.uuid4(), "user_id": owner, "digest": "d", "name": "n", "description": "", "actions": ["read"]}
    with engine.begin() as connection:
        connection.execute(insert(api_keys).values(**key, created_at=datetime.now(UTC)))
        connection.execute(delete(users))
        # The keys of an account end with it.
        assert connection.execute(select(api_keys.c.id)).all() == []
    engine.dispose()


def test_migrations_can_be_downgraded_and_repeated(url: str) -> None:
    upgrade(url)

    downgrade(url)
    without = table_names(url)
    upgrade(url)

    assert without == {"alembic_version"}
    assert table_names(url) == {"alembic_version", *metadata.tables}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{folder}/missing/slipway.db",
        "sqlite:///{folder}/text.db",
        "sqlite:///file:{folder}/empty.db?mode=ro&uri=true",
    ],
    ids=["missing folder", "no database", "read-only"],
)
def test_unusable_sqlite_file_is_rejected_without_its_path(tmp_path: Path, url: str) -> None:
    (tmp_path / "text.db").write_bytes(b"not a database" * 100)
    sqlite3.connect(tmp_path / "empty.db").close()

    with pytest.raises(ConfigurationError, match=r"^the database of DATABASE_URL cannot be migrated") as caught:
        upgrade(url.format(folder=tmp_path))

    assert str(tmp_path) not in str(caught.value)


def test_database_of_a_later_release_is_rejected(url: str) -> None:
    upgrade(url)
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConfigurationError):
        upgrade(url)


def test_unreachable_server_is_reported_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="cannot be migrated") as caught:
        upgrade("postgresql://slipway:hunter2@127.0.0.1:1/slipway")

    assert "hunter2" not in str(caught.value)


def test_invalid_address_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL is not a database URL"):
        upgrade("slipway.db")


@pytest.mark.parametrize(
    ("prepare", "state"),
    [
        ([], "missing"),
        (["CREATE TABLE alembic_version (version_num VARCHAR(32))"], "missing"),
        (["upgrade"], "current"),
        (["upgrade", "UPDATE alembic_version SET version_num = '9999'"], "unknown"),
    ],
)
def test_migration_state_is_returned(url: str, prepare: list[str], state: str) -> None:
    engine = connect(url)
    for step in prepare:
        if step == "upgrade":
            upgrade(url)
        else:
            with engine.begin() as connection:
                connection.execute(text(step))

    with engine.connect() as connection:
        assert state_of(connection) == state
    engine.dispose()

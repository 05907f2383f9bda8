"""The tables of Slipway's own database. Alembic's migrations make them; a test holds the two together.

Plain tables, not the object-relational mapper: nothing here needs its sessions, and the API's start and memory would
pay for it.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    Uuid,
)

# Every constraint has a name, so that migrations can change it.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC. SQLite forgets the offset; this puts it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn a time into UTC before it is written."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, ANN401
        """Read a time as UTC."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


users = Table(
    "users",
    metadata,
    # Immutable; the `sub` of the account's tokens.
    Column("id", Uuid, primary_key=True),
    # In lower case.
    Column("name", String(64), nullable=False, unique=True),
    Column("password_hash", String(255), nullable=False),
    # `admin`, `user` or `viewer`.
    Column("role", String(16), nullable=False),
    # The `ver` of its tokens; raised by every change of role, password or `disabled`, which ends older tokens.
    Column("version", Integer, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# What happened to accounts. A row is written in the transaction of the change that it tells of.
account_events = Table(
    "account_events",
    metadata,
    # A UUIDv7: sorts by time.
    Column("id", Uuid, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    # Whose token did it; null where nobody was logged in.
    Column("actor_id", Uuid, nullable=True),
    # The account that it was done to; the row outlives it.
    Column("subject_id", Uuid, nullable=False, index=True),
    # Its name then; null once the account was erased.
    Column("subject_name", String(64), nullable=True),
    Column("action", String(32), nullable=False),
    # The client's, as the server saw it; null where there was none, and where its account was erased.
    Column("address", String(64), nullable=True),
    # Never names or secrets.
    Column("details", JSON, nullable=False),
)

# Users whose predictions are to be deleted, and are not to be written any more where some are still under way.
erasures = Table(
    "erasures",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

# Logins that failed of late, a row a name or address, and the addresses that names have logged in from.
login_attempts = Table(
    "login_attempts",
    metadata,
    # A keyed hash of the name or address: no row is longer than another, and none tells what was typed.
    Column("key", String(64), primary_key=True),
    Column("attempts", Integer, nullable=False),
    # When the row no longer holds; the first attempt after that begins anew.
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

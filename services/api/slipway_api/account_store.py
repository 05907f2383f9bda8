"""Accounts in the database."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine, func, insert, inspect, select
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from slipway_api.accounts import DATABASE_AWAY, Account, Known, Role
from slipway_api.errors import ConflictError, NotReadyError
from slipway_core.tables import users

NO_TABLES = "the database has no tables yet: run `slipway-api migrate`"


class SqlAccountStore:
    """The accounts in Slipway's own database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, name: str, password_hash: str, role: Role) -> Account:
        """Add an account.

        Raises:
            ConflictError: the name is taken.
        """
        account = Account(uuid.uuid4(), name, role, 1, disabled=False, created_at=datetime.now(UTC))
        values = {
            "id": account.id,
            "name": name,
            "password_hash": password_hash,
            "role": role.value,
            "version": 1,
            "disabled": False,
            "created_at": account.created_at,
        }
        try:
            with self._reaching(), self._engine.begin() as connection:
                connection.execute(insert(users).values(values))
        except IntegrityError as error:
            raise ConflictError(f"the name {name} is taken") from error
        return account

    def find(self, name: str) -> tuple[Account, str] | None:
        """Return an account and its password hash; None if there is no such name."""
        with self._reaching(), self._engine.connect() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
        if row is None:
            return None
        account = Account(row.id, row.name, Role(row.role), row.version, row.disabled, row.created_at)
        return account, row.password_hash

    def count(self) -> int:
        """Return how many accounts there are."""
        with self._reaching(), self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(users)).scalar_one()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            # PostgreSQL tells a missing table as a fault of the statement, SQLite as any other fault.
            answers = isinstance(error, ProgrammingError) or self._engine.dialect.name == "sqlite"
            raise NotReadyError(NO_TABLES if answers and self._lacks_tables() else DATABASE_AWAY) from error

    def _lacks_tables(self) -> bool:
        try:
            return not inspect(self._engine).has_table(users.name)
        except SQLAlchemyError:
            return False

    def snapshot(self) -> dict[uuid.UUID, Known]:
        """Return what requests need to know of every account."""
        columns = (users.c.id, users.c.name, users.c.role, users.c.version, users.c.disabled)
        with self._reaching(), self._engine.connect() as connection:
            rows = connection.execute(select(*columns)).all()
        return {row.id: Known(row.name, Role(row.role), row.version, row.disabled) for row in rows}

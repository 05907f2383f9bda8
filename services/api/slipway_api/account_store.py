"""Accounts in the database."""

import uuid
from datetime import UTC, datetime

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from slipway_api.accounts import DATABASE_AWAY, Account, Known, Role
from slipway_api.errors import ConflictError, NotReadyError
from slipway_core.tables import users


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
            with self._engine.begin() as connection:
                connection.execute(insert(users).values(values))
        except IntegrityError as error:
            raise ConflictError(f"the name {name} is taken") from error
        except SQLAlchemyError as error:
            raise NotReadyError(DATABASE_AWAY) from error
        return account

    def find(self, name: str) -> tuple[Account, str] | None:
        """Return an account and its password hash; None if there is no such name."""
        try:
            with self._engine.connect() as connection:
                row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
        except SQLAlchemyError as error:
            raise NotReadyError(DATABASE_AWAY) from error
        if row is None:
            return None
        account = Account(row.id, row.name, Role(row.role), row.version, row.disabled, row.created_at)
        return account, row.password_hash

    def count(self) -> int:
        """Return how many accounts there are."""
        try:
            with self._engine.connect() as connection:
                return connection.execute(select(func.count()).select_from(users)).scalar_one()
        except SQLAlchemyError as error:
            raise NotReadyError(DATABASE_AWAY) from error

    def snapshot(self) -> dict[uuid.UUID, Known]:
        """Return what requests need to know of every account."""
        columns = (users.c.id, users.c.name, users.c.role, users.c.version, users.c.disabled)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(select(*columns)).all()
        except SQLAlchemyError as error:
            raise NotReadyError(DATABASE_AWAY) from error
        return {row.id: Known(row.name, Role(row.role), row.version, row.disabled) for row in rows}

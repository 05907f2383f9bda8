"""Accounts in the database."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from slipway_api.accounts.events import AccountEvent, Action, Actor
from slipway_api.accounts.login_attempts import SqlLoginAttempts
from slipway_api.accounts.models import Account, Known, Role, confirm, require_admin
from slipway_api.accounts.transactions import AccountDatabase, Changes
from slipway_api.errors import ConflictError, NotFoundError
from slipway_api.prediction_log.repository import erase as erase_predictions
from slipway_core.ids import read_id
from slipway_core.tables import account_events, erasures, users

NOBODY = Actor()


class SqlAccountStore:
    """The accounts in Slipway's own database.

    Attributes:
        attempts: the logins that failed of late, in the same database.
    """

    def __init__(self, engine: Engine) -> None:
        self._database = AccountDatabase(engine)
        self.attempts = SqlLoginAttempts(self._database)

    def add(
        self,
        name: str,
        password_hash: str,
        role: Role,
        *,
        by: Actor = NOBODY,
        action: Action = Action.REGISTERED,
    ) -> Account:
        """Add an account, whose id no other ever had or will have.

        Raises:
            AuthenticationError: the caller's account is gone, or was changed since the caller came.
            ConflictError: the name is taken.
        """
        account = Account(uuid.uuid4(), name, role, 1, disabled=False, created_at=datetime.now(UTC))
        values = {**vars(account), "role": role.value, "password_hash": password_hash}
        try:
            with self._changing(by) as (connection, changes):
                _confirm(connection, by)
                connection.execute(insert(users).values(values))
                changes.tell(action, account.id, name, role=role.value)
        except IntegrityError as error:
            raise ConflictError(f"the name {name} is taken") from error
        return account

    def find(self, name: str) -> tuple[Account, str] | None:
        """Return an account and its password hash; None if there is no such name."""
        return self._one(select(users).where(users.c.name == name))

    def get(self, user_id: uuid.UUID) -> tuple[Account, str] | None:
        """Return an account and its password hash; None if there is no such id."""
        return self._one(select(users).where(users.c.id == user_id))

    def page(self, after: str, limit: int) -> Sequence[Account]:
        """Return the accounts whose names come after one, at most `limit` of them, by name."""
        wanted = select(users).where(users.c.name > after).order_by(users.c.name).limit(limit)
        with self._database.reading() as connection:
            return [_account(row) for row in connection.execute(wanted)]

    def change(
        self,
        name: str,
        *,
        by: Actor,
        role: Role | None = None,
        disabled: bool | None = None,
        password_hash: str | None = None,
    ) -> Account:
        """Change what is given and differs; that ends the account's tokens.

        Raises:
            AuthenticationError: the caller's account is gone, or was changed since the caller came.
            NotFoundError: there is no such account.
            ConflictError: it is the last active admin, and would not be one any more.
        """
        with self._changing(by) as (connection, changes):
            row, is_last_admin = _hold(connection, by, users.c.name == name)
            if row is None:
                raise NotFoundError(f"there is no account named {name}; GET /users lists those there are")
            values: dict[str, Any] = {}
            if role is not None and role != row.role:
                values["role"] = role.value
                changes.tell(Action.ROLE_CHANGED, row.id, name, before=row.role, after=role.value)
            if disabled is not None and disabled != row.disabled:
                values["disabled"] = disabled
                changes.tell(Action.DISABLED if disabled else Action.ENABLED, row.id, name)
            if password_hash is not None:
                values["password_hash"] = password_hash
                changes.tell(Action.PASSWORD_RESET, row.id, name)
            if is_last_admin and values.keys() & {"role", "disabled"}:
                raise _last_admin(name)
            if not values:
                return _account(row)
            changed = update(users).where(users.c.id == row.id).values(**values, version=users.c.version + 1)
            return _account(connection.execute(changed.returning(*users.c)).one())

    def set_password(self, account: Account, password_hash: str, *, by: Actor) -> Account | None:
        """Set a new password and end older tokens; None if the account was changed or deleted since it was read.

        Raises:
            AuthenticationError: the caller's account is gone, or was changed since the caller came.
        """
        is_it = (users.c.id == account.id) & (users.c.version == account.version)
        changed = update(users).where(is_it).values(password_hash=password_hash, version=users.c.version + 1)
        with self._changing(by) as (connection, changes):
            _confirm(connection, by)
            row = connection.execute(changed.returning(*users.c)).one_or_none()
            if row is None:
                return None
            changes.tell(Action.PASSWORD_CHANGED, row.id, row.name)
            return _account(row)

    def renew_hash(self, account: Account, old: str, new: str) -> None:
        """Replace a hash by another one of the same password; tokens stay valid."""
        is_it = (users.c.id == account.id) & (users.c.password_hash == old)
        with self._database.writing() as connection:
            connection.execute(update(users).where(is_it).values(password_hash=new))

    def delete(self, name: str, *, by: Actor, erase: bool = False, user_id: uuid.UUID | None = None) -> uuid.UUID:
        """Delete an account and return its id.

        Args:
            name: the account's name; or, to erase one that was deleted before, its id as text. With `erase`, what
                reads as an id is never a name: an account from when that was allowed may be named so.
            by: who deletes it.
            erase: also forget its name where events tell of it, and delete its predictions and its feedback.
            user_id: the id that it must have; by then the name may be another's.

        Raises:
            AuthenticationError: the caller's account is gone, or was changed since the caller came.
            NotFoundError: there is no such account.
            ConflictError: it is the last active admin.
        """
        is_it = users.c.name == name if user_id is None else users.c.id == user_id
        deleted_before = read_id(name) if erase and user_id is None else None
        with self._changing(by) as (connection, changes):
            if deleted_before is not None:
                # Of two that erase it at once, the second sees what the first left.
                _hold(connection, by, users.c.id == deleted_before)
                _check_deleted(connection, deleted_before)
                _erase(connection, changes, deleted_before)
                return deleted_before
            row, is_last_admin = _hold(connection, by, is_it)
            if is_last_admin:
                raise _last_admin(name)
            if row is None:
                raise NotFoundError(f"there is no account named {name}; GET /users lists those there are")
            connection.execute(delete(users).where(users.c.id == row.id))
            changes.tell(Action.DELETED, row.id, row.name)
            if erase:
                _erase(connection, changes, row.id)
            deleted: uuid.UUID = row.id
            return deleted

    def tell_locked(self, name: str, *, by: Actor) -> None:
        """Tell that a name has failed to log in too often, if an account has it."""
        with self._changing(by) as (connection, changes):
            row = connection.execute(select(users.c.id).where(users.c.name == name)).one_or_none()
            if row is not None:
                changes.tell(Action.LOGIN_LOCKED, row.id, name)

    def events(self, before: uuid.UUID | None, limit: int) -> Sequence[AccountEvent]:
        """Return what happened to accounts before an event, at most `limit` of them, the newest first."""
        wanted = select(account_events).order_by(account_events.c.id.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(account_events.c.id < before)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).mappings().all()
        return [AccountEvent(**{**row, "action": Action(row["action"])}) for row in rows]

    def count(self) -> int:
        """Return how many accounts there are."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(users)).scalar_one()

    def snapshot(self) -> dict[uuid.UUID, Known]:
        """Return what requests need to know of every account."""
        columns = (users.c.id, users.c.name, users.c.role, users.c.version, users.c.disabled)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns)).all()
        return {row.id: Known(row.name, Role(row.role), row.version, row.disabled) for row in rows}

    def _one(self, wanted: Select[Any]) -> tuple[Account, str] | None:
        with self._database.reading() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else (_account(row), row.password_hash)

    @contextmanager
    def _changing(self, by: Actor) -> Iterator[tuple[Connection, Changes]]:
        with self._database.writing() as connection:
            changes = Changes(connection, by)
            yield connection, changes
        changes.log()


def _hold(connection: Connection, by: Actor, is_it: Any) -> tuple[Row[Any] | None, bool]:  # noqa: ANN401  # a condition
    """Lock an account and every active admin until the transaction ends; tell whether it is the last of them.

    All lock the admins first and in one order, so that none waits for another that waits for it. Who waited sees
    what the other left, and that may be that the caller is no admin any more.
    """
    active = (users.c.role == Role.ADMIN.value) & users.c.disabled.is_(False)
    admins = select(users.c.id).where(active).order_by(users.c.id).with_for_update()
    ids = connection.execute(admins).scalars().all()
    _confirm(connection, by)
    row = connection.execute(select(users).where(is_it).with_for_update()).one_or_none()
    return row, row is not None and list(ids) == [row.id]


def _confirm(connection: Connection, by: Actor) -> None:
    """Lock the caller's account, and refuse one that is no longer what it was when the caller came.

    A body may take half a minute to arrive, and a hash its time; whoever lost an account or a role meanwhile must not
    get it back, or give it to another.
    """
    if by.caller is None:
        return
    columns = (users.c.name, users.c.role, users.c.version, users.c.disabled)
    row = connection.execute(select(*columns).where(users.c.id == by.caller.id).with_for_update()).one_or_none()
    now = None if row is None else Known(row.name, Role(row.role), row.version, row.disabled)
    account = confirm(now, by.caller.version)
    if by.caller.role is Role.ADMIN:
        require_admin(account.role)


def _check_deleted(connection: Connection, user_id: uuid.UUID) -> None:
    """Refuse an id unless its account was deleted and not erased."""
    of_it = (account_events.c.subject_id == user_id) & (account_events.c.action == Action.DELETED.value)
    is_deleted = connection.execute(select(account_events.c.id).where(of_it)).first() is not None
    is_erased = connection.execute(select(erasures.c.user_id).where(erasures.c.user_id == user_id)).first() is not None
    if is_erased or not is_deleted:
        raise NotFoundError(
            f"there is no deleted account with the id {user_id} to erase (GET /users/events has the ids: subject_id); "
            "if an account is named so, delete it without erase first, and then erase it by its own id"
        )


def _erase(connection: Connection, changes: Changes, user_id: uuid.UUID) -> None:
    """Forget an account's name and addresses where events tell of it, and delete its predictions and feedback."""
    erase_predictions(connection, user_id)
    changes.tell(Action.ERASED, user_id, None)
    of_it = account_events.c.subject_id == user_id
    connection.execute(update(account_events).where(of_it).values(subject_name=None))
    # An address is the person's where nobody else was logged in.
    own = (account_events.c.actor_id == user_id) | (of_it & account_events.c.actor_id.is_(None))
    connection.execute(update(account_events).where(own).values(address=None))


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.name, Role(row.role), row.version, row.disabled, row.created_at)


def _last_admin(name: str) -> ConflictError:
    return ConflictError(f"{name} is the last active admin; make another account an admin first")

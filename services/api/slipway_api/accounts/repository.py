"""The accounts in Slipway's database."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from slipway_api.accounts.events import ANONYMOUS, AccountEvent, Action, AuditActor
from slipway_api.accounts.key_repository import SqlKeyStore, cached_keys, cached_revocations
from slipway_api.accounts.login_attempts import SqlLoginAttempts
from slipway_api.accounts.models import TOKEN_REVOKED, Account, DeletedAccount, Role, Snapshot
from slipway_api.accounts.transactions import AccountDatabase, EventRecorder, cached_account, lock_actor
from slipway_api.errors import AuthenticationError, ConflictError, NotFoundError
from slipway_api.prediction_log.repository import erase as erase_predictions
from slipway_core.tables import account_events, erasures, users

Condition = ColumnElement[bool]


class SqlAccountStore:
    """The accounts in Slipway's database. `AccountStore` describes the methods.

    Attributes:
        attempts: the counters of failed logins, in the same database.
        keys: the API keys and revoked tokens, in the same database.
    """

    def __init__(self, engine: Engine) -> None:
        self._database = AccountDatabase(engine)
        self.attempts = SqlLoginAttempts(self._database)
        self.keys = SqlKeyStore(self._database)

    def add(
        self,
        name: str,
        password_hash: str,
        role: Role,
        *,
        actor: AuditActor = ANONYMOUS,
        action: Action = Action.REGISTERED,
    ) -> Account:
        """Add an account with a new id."""
        account = Account(uuid.uuid4(), name, role, 1, disabled=False, created_at=datetime.now(UTC))
        values = {**vars(account), "role": role.value, "password_hash": password_hash}
        try:
            with self._database.change(actor) as (connection, events):
                lock_actor(connection, actor)
                connection.execute(insert(users).values(values))
                events.record(action, account.id, name, role=role.value)
        except IntegrityError as error:
            raise ConflictError(f"the name {name} is taken; choose another") from error
        return account

    def find(self, name: str) -> tuple[Account, str] | None:
        """Return the account with a name, and its password hash; None if it does not exist."""
        return self._one(select(users).where(users.c.name == name))

    def get(self, user_id: uuid.UUID) -> tuple[Account, str] | None:
        """Return the account with an id, and its password hash; None if it does not exist."""
        return self._one(select(users).where(users.c.id == user_id))

    def page(self, after: str, limit: int) -> Sequence[Account]:
        """Return at most `limit` accounts whose names sort after `after`, by name."""
        wanted = select(users).where(users.c.name > after).order_by(users.c.name).limit(limit)
        with self._database.connect() as connection:
            return [_account(row) for row in connection.execute(wanted)]

    def change(
        self,
        name: str,
        *,
        actor: AuditActor,
        role: Role | None = None,
        disabled: bool | None = None,
        password_hash: str | None = None,
    ) -> Account:
        """Change the given fields that differ, and revoke the account's tokens."""
        with self._database.change(actor) as (connection, events):
            row, is_last_admin = _lock_account(connection, actor, users.c.name == name)
            if row is None:
                raise _not_found(name)
            values: dict[str, Any] = {}
            if role is not None and role != row.role:
                values["role"] = role.value
                events.record(Action.ROLE_CHANGED, row.id, name, before=row.role, after=role.value)
            if disabled is not None and disabled != row.disabled:
                values["disabled"] = disabled
                events.record(Action.DISABLED if disabled else Action.ENABLED, row.id, name)
            if password_hash is not None:
                values["password_hash"] = password_hash
                events.record(Action.PASSWORD_RESET, row.id, name)
            if is_last_admin and values.keys() & {"role", "disabled"}:
                raise _last_admin(name)
            if not values:
                return _account(row)
            changed = update(users).where(users.c.id == row.id).values(**values, version=users.c.version + 1)
            return _account(connection.execute(changed.returning(*users.c)).one())

    def set_password(self, account: Account, password_hash: str, *, actor: AuditActor) -> Account:
        """Set a new password, and revoke older tokens."""
        is_unchanged = (users.c.id == account.id) & (users.c.version == account.version)
        changed = update(users).where(is_unchanged).values(password_hash=password_hash, version=users.c.version + 1)
        with self._database.change(actor) as (connection, events):
            lock_actor(connection, actor)
            row = connection.execute(changed.returning(*users.c)).one_or_none()
            if row is None:
                raise AuthenticationError(TOKEN_REVOKED)
            events.record(Action.PASSWORD_CHANGED, row.id, row.name)
            return _account(row)

    def revoke_tokens(self, name: str, *, actor: AuditActor) -> Account:
        """Revoke every token of an account."""
        with self._database.change(actor) as (connection, events):
            row, _ = _lock_account(connection, actor, users.c.name == name)
            if row is None:
                raise _not_found(name)
            events.record(Action.TOKENS_REVOKED, row.id, name)
            changed = update(users).where(users.c.id == row.id).values(version=users.c.version + 1)
            return _account(connection.execute(changed.returning(*users.c)).one())

    def renew_hash(self, account: Account, old: str, new: str) -> None:
        """Replace a hash by another hash of the same password; tokens stay valid."""
        is_unchanged = (users.c.id == account.id) & (users.c.password_hash == old)
        with self._database.begin() as connection:
            connection.execute(update(users).where(is_unchanged).values(password_hash=new))

    def delete(self, user_id: uuid.UUID, *, actor: AuditActor, erase: bool = False) -> DeletedAccount:
        """Delete the account with an id; with `erase`, also its predictions, feedback, and name in events."""
        missing = NotFoundError(f"no account has the id {user_id}; GET /users lists all accounts")
        return self._delete(users.c.id == user_id, missing, actor, erase=erase)

    def delete_by_name(self, name: str, *, actor: AuditActor, erase: bool = False) -> DeletedAccount:
        """Delete the account with a name; `erase` as for `delete`."""
        return self._delete(users.c.name == name, _not_found(name), actor, erase=erase)

    def erase_deleted(self, user_id: uuid.UUID, *, actor: AuditActor) -> DeletedAccount:
        """Erase the predictions and feedback of an account that is already deleted, and its name in events."""
        with self._database.change(actor) as (connection, events):
            # The lock makes a concurrent erasure of the same id wait, and then fail.
            _lock_account(connection, actor, users.c.id == user_id)
            _require_deleted(connection, user_id)
            _erase(connection, events, user_id)
            return DeletedAccount(user_id)

    def record_lockout(self, name: str, *, actor: AuditActor) -> None:
        """Write the event of a locked name, if an account has the name."""
        with self._database.change(actor) as (connection, events):
            row = connection.execute(select(users.c.id).where(users.c.name == name)).one_or_none()
            if row is not None:
                events.record(Action.LOGIN_LOCKED, row.id, name)

    def events(self, before: uuid.UUID | None, limit: int) -> Sequence[AccountEvent]:
        """Return at most `limit` events that precede an event, newest first."""
        wanted = select(account_events).order_by(account_events.c.id.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(account_events.c.id < before)
        with self._database.connect() as connection:
            rows = connection.execute(wanted).mappings().all()
        return [AccountEvent(**{**row, "action": Action(row["action"])}) for row in rows]

    def count(self) -> int:
        """Return the number of accounts."""
        with self._database.connect() as connection:
            return connection.execute(select(func.count()).select_from(users)).scalar_one()

    def snapshot(self) -> Snapshot:
        """Return everything that authenticating requests needs."""
        columns = (users.c.id, users.c.name, users.c.role, users.c.version, users.c.disabled)
        with self._database.connect() as connection:
            accounts = {row.id: cached_account(row) for row in connection.execute(select(*columns))}
            return Snapshot(accounts, cached_keys(connection), cached_revocations(connection))

    def _one(self, wanted: Select[Any]) -> tuple[Account, str] | None:
        with self._database.connect() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else (_account(row), row.password_hash)

    def _delete(self, where: Condition, missing: NotFoundError, actor: AuditActor, *, erase: bool) -> DeletedAccount:
        with self._database.change(actor) as (connection, events):
            row, is_last_admin = _lock_account(connection, actor, where)
            if row is None:
                raise missing
            if is_last_admin:
                raise _last_admin(row.name)
            connection.execute(delete(users).where(users.c.id == row.id))
            events.record(Action.DELETED, row.id, row.name)
            if erase:
                _erase(connection, events, row.id)
            return DeletedAccount(row.id)


def _lock_account(connection: Connection, actor: AuditActor, condition: Condition) -> tuple[Row[Any] | None, bool]:
    """Lock an account and every active admin; return the account and whether it is the last active admin.

    Every transaction locks the admins first, in one order, to avoid deadlock. One that had to wait reads what the
    other transaction left: the acting user may no longer be an admin.
    """
    active = (users.c.role == Role.ADMIN.value) & users.c.disabled.is_(False)
    admins = select(users.c.id).where(active).order_by(users.c.id).with_for_update()
    ids = connection.execute(admins).scalars().all()
    lock_actor(connection, actor)
    row = connection.execute(select(users).where(condition).with_for_update()).one_or_none()
    return row, row is not None and list(ids) == [row.id]


def _require_deleted(connection: Connection, user_id: uuid.UUID) -> None:
    """Raise NotFoundError unless an id belongs to an account that was deleted and not erased."""
    is_deletion = (account_events.c.subject_id == user_id) & (account_events.c.action == Action.DELETED.value)
    is_deleted = connection.execute(select(account_events.c.id).where(is_deletion)).first() is not None
    is_erased = connection.execute(select(erasures.c.user_id).where(erasures.c.user_id == user_id)).first() is not None
    if is_erased or not is_deleted:
        raise NotFoundError(
            f"no deleted account with the id {user_id} can be erased; GET /users/events lists the ids (subject_id). "
            "To erase an account whose name is an id, delete it without erase first, then erase it by its own id"
        )


def _erase(connection: Connection, events: EventRecorder, user_id: uuid.UUID) -> None:
    """Remove an account's name and addresses from its events, and delete its predictions and feedback."""
    erase_predictions(connection, user_id)
    events.record(Action.ERASED, user_id, None)
    is_subject = account_events.c.subject_id == user_id
    connection.execute(update(account_events).where(is_subject).values(subject_name=None))
    # The address is the erased person's if they acted themselves, or if no user was logged in.
    own = (account_events.c.actor_id == user_id) | (is_subject & account_events.c.actor_id.is_(None))
    connection.execute(update(account_events).where(own).values(address=None))


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.name, Role(row.role), row.version, row.disabled, row.created_at)


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(f"no account is named {name}; GET /users lists all accounts")


def _last_admin(name: str) -> ConflictError:
    return ConflictError(f"{name} is the last active admin; make another account an admin first")

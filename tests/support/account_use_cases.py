"""Every use case of accounts that changes accounts or writes events, as a table for tests."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import Engine, delete

from slipway_api.accounts.events import AccountEvent, AuditActor
from slipway_api.accounts.models import Account, CachedAccount, CurrentUser, Role
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.accounts.service import AccountService
from slipway_core.tables import users
from support.api import PASSWORD

NEW_PASSWORD = "another horse battery"
ADDRESS = "192.0.2.7"


@dataclass(frozen=True)
class World:
    """A service over a database with ada (admin), uma (user) and vic (viewer)."""

    service: AccountService
    store: SqlAccountStore
    engine: Engine
    accounts: dict[str, Account]

    def actor(self, name: str) -> AuditActor:
        account = self.accounts[name]
        return AuditActor(CurrentUser(account.id, name, account.role, account.version), ADDRESS)

    def token(self, user_id: uuid.UUID) -> str:
        """Return a new token of an account as it is in the database."""
        found = self.store.get(user_id)
        assert found is not None
        return self.service.tokens.issue(found[0])

    def refresh(self) -> None:
        assert self.service.directory.refresh()

    def cached(self) -> dict[uuid.UUID, CachedAccount]:
        return dict(self.service.directory._accounts)

    def stored(self) -> tuple[dict[uuid.UUID, CachedAccount], list[AccountEvent]]:
        return self.store.snapshot(), list(self.store.events(None, 99))


Act = Callable[[World, AuditActor], Awaitable[object]]


@dataclass(frozen=True)
class UseCase:
    """A use case that changes accounts or writes events.

    Attributes:
        method: the method of the service.
        actor: the name of the user that acts; None without a token.
        act: runs it.
        actions: the events that it writes, oldest first.
        changes_account: whether it changes an account, or only writes an event.
        prepare: brings the database into the state that it needs.
    """

    method: str
    actor: str | None
    act: Act
    actions: tuple[str, ...]
    changes_account: bool = True
    prepare: Callable[[World], object] = lambda _world: None


def without_accounts(world: World) -> None:
    with world.engine.begin() as connection:
        connection.execute(delete(users))


USE_CASES = {
    "create": UseCase(
        "create_account",
        "ada",
        lambda world, actor: world.service.create_account(actor, "bea", PASSWORD, Role.VIEWER),
        ("registered",),
    ),
    "register": UseCase(
        "create_account",
        None,
        lambda world, actor: world.service.create_account(actor, "bea", PASSWORD, Role.USER),
        ("registered",),
    ),
    "first admin": UseCase(
        "create_first_admin",
        None,
        lambda world, _actor: world.service.create_first_admin(),
        ("first_admin_made",),
        prepare=without_accounts,
    ),
    "change role": UseCase(
        "change_account",
        "ada",
        lambda world, actor: world.service.change_account(actor, "uma", role=Role.VIEWER),
        ("role_changed",),
    ),
    "disable": UseCase(
        "change_account",
        "ada",
        lambda world, actor: world.service.change_account(actor, "uma", disabled=True),
        ("disabled",),
    ),
    "enable": UseCase(
        "change_account",
        "ada",
        lambda world, actor: world.service.change_account(actor, "uma", disabled=False),
        ("enabled",),
        prepare=lambda world: world.store.change("uma", actor=AuditActor(), disabled=True),
    ),
    "reset password": UseCase(
        "change_account",
        "ada",
        lambda world, actor: world.service.change_account(actor, "uma", password=NEW_PASSWORD),
        ("password_reset",),
    ),
    "change own password": UseCase(
        "change_own_password",
        "uma",
        lambda world, actor: world.service.change_own_password(actor, PASSWORD, NEW_PASSWORD),
        ("password_changed",),
    ),
    "delete own account": UseCase(
        "delete_account",
        "uma",
        lambda world, actor: world.service.delete_account(actor, world.accounts["uma"].id),
        ("deleted",),
    ),
    "erase own account": UseCase(
        "delete_account",
        "uma",
        lambda world, actor: world.service.delete_account(actor, world.accounts["uma"].id, erase=True),
        ("deleted", "erased"),
    ),
    "delete by id": UseCase(
        "delete_account",
        "ada",
        lambda world, actor: world.service.delete_account(actor, world.accounts["uma"].id),
        ("deleted",),
    ),
    "delete by name": UseCase(
        "delete_account_by_name",
        "ada",
        lambda world, actor: world.service.delete_account_by_name(actor, " Uma "),
        ("deleted",),
    ),
    "erase by name": UseCase(
        "delete_account_by_name",
        "ada",
        lambda world, actor: world.service.delete_account_by_name(actor, "uma", erase=True),
        ("deleted", "erased"),
    ),
    "erase deleted account": UseCase(
        "erase_deleted_account",
        "ada",
        lambda world, actor: world.service.erase_deleted_account(actor, world.accounts["uma"].id),
        ("erased",),
        changes_account=False,
        prepare=lambda world: world.store.delete_by_name("uma", actor=AuditActor()),
    ),
    "lock out": UseCase(
        "log_in",
        None,
        lambda world, actor: world.service.log_in("uma", NEW_PASSWORD, actor.address),
        ("login_locked",),
        changes_account=False,
    ),
}
BY_ADMIN = {name: case for name, case in USE_CASES.items() if case.actor == "ada"}
BY_USER = {name: case for name, case in USE_CASES.items() if case.actor is not None}
# These methods write no events and change no account.
READ_ONLY = {"authenticate", "get_own_account", "list_accounts", "list_events", "watch"}

"""Every use case of accounts that changes accounts or writes events, as a table for tests."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import Engine, delete

from slipway_api.accounts.credentials import NewKey
from slipway_api.accounts.events import AccountEvent, AuditActor
from slipway_api.accounts.key_models import KeyAction
from slipway_api.accounts.models import Account, CurrentToken, CurrentUser, Role, Snapshot
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.accounts.service import AccountService
from slipway_core.tables import users
from support.api import PASSWORD

NEW_PASSWORD = "another horse battery"
ADDRESS = "192.0.2.7"
# A fixed token, which no other request sends.
A_TOKEN = CurrentToken(uuid.UUID(int=7), float(int(time.time()) + 3600))
NEW_KEY = NewKey("scores", "", ("iris",), (KeyAction.PREDICT,), 3600)


@dataclass(frozen=True)
class World:
    """A service over a database with ada (admin), uma (user) and vic (viewer)."""

    service: AccountService
    store: SqlAccountStore
    engine: Engine
    accounts: dict[str, Account]

    def actor(self, name: str) -> AuditActor:
        account = self.accounts[name]
        return AuditActor(CurrentUser(account.id, name, account.role, account.version, A_TOKEN), ADDRESS)

    def token(self, user_id: uuid.UUID) -> str:
        """Return a new token of an account as it is in the database."""
        found = self.store.get(user_id)
        assert found is not None
        return self.service.tokens.issue(found[0])

    def refresh(self) -> None:
        assert self.service.directory.refresh()

    def cached(self) -> Snapshot:
        return self.service.directory.snapshot()

    def stored(self) -> tuple[Snapshot, list[AccountEvent]]:
        return self.store.snapshot(), list(self.store.events(None, 99))

    def key_of(self, name: str) -> uuid.UUID:
        """Return the id of an account's newest key."""
        return self.store.keys.page(self.accounts[name].id, None, 1)[0].key.id


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


def with_key_of_uma(world: World) -> None:
    asyncio.run(world.service.credentials.create_key(world.actor("uma"), NEW_KEY))


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
    "create key": UseCase(
        "create_key",
        "uma",
        lambda world, actor: world.service.credentials.create_key(actor, NEW_KEY),
        ("key_created",),
        changes_account=False,
    ),
    "revoke own key": UseCase(
        "revoke_key",
        "uma",
        lambda world, actor: world.service.credentials.revoke_key(actor, world.key_of("uma")),
        ("key_revoked",),
        changes_account=False,
        prepare=with_key_of_uma,
    ),
    "revoke token": UseCase(
        "revoke_token",
        "uma",
        lambda world, actor: world.service.credentials.revoke_token(actor),
        ("token_revoked",),
        changes_account=False,
    ),
    "revoke all tokens": UseCase(
        "revoke_all_tokens",
        "uma",
        lambda world, actor: world.service.credentials.revoke_all_tokens(actor),
        ("tokens_revoked",),
    ),
    "revoke all tokens of another": UseCase(
        "revoke_all_tokens",
        "ada",
        lambda world, actor: world.service.credentials.revoke_all_tokens(actor, " Uma "),
        ("tokens_revoked",),
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
READ_ONLY = {"get_own_account", "list_accounts", "list_events", "list_keys", "maintain", "watch"}

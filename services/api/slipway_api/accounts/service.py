"""The use cases of accounts: logging in, one's own account, administration, and the audit log."""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence

from slipway_api.accounts.authentication import Authentication
from slipway_api.accounts.credentials import Credentials
from slipway_api.accounts.directory import REFRESH_SECONDS, AccountDirectory
from slipway_api.accounts.events import AccountEvent, AuditActor
from slipway_api.accounts.first_admin import create_first_admin
from slipway_api.accounts.key_authentication import KeyAuthentication
from slipway_api.accounts.key_text import KeyTexts
from slipway_api.accounts.known_networks import KnownNetworks
from slipway_api.accounts.login import PasswordLogin
from slipway_api.accounts.login_throttle import LoginThrottle
from slipway_api.accounts.metrics import AccountMetrics
from slipway_api.accounts.models import (
    TOKEN_REVOKED,
    Account,
    CurrentUser,
    DeletedAccount,
    FirstAdmin,
    Role,
    require_admin,
)
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.store import AccountStore
from slipway_api.accounts.store_calls import StoreCalls
from slipway_api.accounts.tokens import AccessToken, Tokens
from slipway_api.accounts.validation import lookup_name, require_safe_password
from slipway_api.errors import AuthenticationError, NotReadyError, PermissionDeniedError
from slipway_core.logging import get_logger

WRONG_CREDENTIALS = "the username or the password is wrong"

log = get_logger("slipway.accounts")


class AccountService:
    """Every use case of accounts. Each one checks the user, runs one transaction, and updates the directory.

    The transaction writes the event together with the change, and checks the user once more.

    Every use case raises NotReadyError while the database is unavailable. Use cases of a user raise
    AuthenticationError if the account has changed since the request arrived; use cases of admins raise
    PermissionDeniedError for other roles. A user with an API key may run none of them.

    Attributes:
        authentication: authenticates requests.
        credentials: the use cases of API keys and of revoking tokens.
    """

    def __init__(
        self,
        directory: AccountDirectory,
        passwords: Passwords,
        throttle: LoginThrottle,
        tokens: Tokens,
        key_texts: KeyTexts,
        metrics: AccountMetrics,
        *,
        known_networks: KnownNetworks | None = None,
        registration_is_open: bool = False,
        first_admin: FirstAdmin | None = None,
        key_max_days: int | None = None,
    ) -> None:
        self.directory = directory
        self.passwords = passwords
        self.throttle = throttle
        self.tokens = tokens
        self.registration_is_open = registration_is_open
        self._metrics = metrics
        self._known_networks = KnownNetworks() if known_networks is None else known_networks
        self._first_admin = first_admin
        self._calls = StoreCalls(directory)
        keys = KeyAuthentication(directory, key_texts)
        self.authentication = Authentication(directory, tokens, keys, self._known_networks)
        self.credentials = Credentials(directory, key_texts, keys, key_max_days)
        self._login = PasswordLogin(directory, passwords, throttle, self._known_networks, metrics)

    async def watch(self) -> None:
        """Refresh the directory until cancelled.

        Once the database answers, create the first administrator; then store the last uses of keys from time to time.
        """
        has_accounts = False
        while True:
            try:
                is_read = await asyncio.to_thread(self.directory.refresh)
                self._metrics.up.set(is_read)
                if is_read and not has_accounts:
                    has_accounts = await self.create_first_admin()
                if is_read:
                    with contextlib.suppress(NotReadyError):  # the next refresh logs it
                        await self.credentials.maintain()
            except Exception:  # an unexpected error must not end the refreshes: the cached accounts stay in use
                log.exception("accounts_watch_failed")
            self.directory.first_refresh_done.set()
            await asyncio.sleep(REFRESH_SECONDS)

    async def create_first_admin(self) -> bool:
        """Create the first administrator, if one is configured; return False if the call must be repeated."""
        admin = self._first_admin
        return admin is None or await create_first_admin(self._calls, self.passwords, admin)

    def close(self) -> None:
        """Stop the thread that hashes passwords."""
        self.passwords.close()

    # Login

    def require_login_capacity(self) -> None:
        """Reject a login before its body is read. Raises TooManyRequestsError if the queue of hashes is full."""
        self._login.require_capacity()

    async def log_in(self, name: str, password: str, address: str | None) -> AccessToken:
        """Return a new token for a name and a password.

        Raises:
            AuthenticationError: the name or the password is wrong, or the account is disabled.
            TooManyRequestsError: too many logins have failed recently, or the queue of password hashes is full.
        """
        account = await self._login.verify(name.strip().lower(), password, address)
        if account is None:
            raise AuthenticationError(WRONG_CREDENTIALS)
        log.info("login", user_id=str(account.id))
        return self.tokens.issue_access(account)

    # One's own account

    async def get_own_account(self, user: CurrentUser) -> Account:
        """Return the account of a user."""
        self.directory.logged_in(user)
        found = await self._calls.run(lambda store: store.get(user.id))
        if found is None:
            raise AuthenticationError(TOKEN_REVOKED)
        return found[0]

    async def change_own_password(self, actor: AuditActor, current_password: str, new_password: str) -> AccessToken:
        """Set a new password, revoke older tokens, and return a new token.

        Raises:
            InvalidInputError: the new password is unsafe.
            PermissionDeniedError: the current password is wrong; this counts as a failed login.
            TooManyRequestsError: too many logins have failed recently, or the queue of password hashes is full.
        """
        user = self.directory.logged_in(actor.user)
        await require_safe_password(self.passwords, "new_password", new_password, user.name)
        account = await self._login.verify(user.name, current_password, actor.address)
        if account is None:
            raise PermissionDeniedError("the current password is wrong")
        if account.id != user.id:  # another account has taken the name meanwhile
            raise AuthenticationError(TOKEN_REVOKED)
        password_hash = await self._hash(new_password)
        changed = await self._calls.change(lambda store: store.set_password(account, password_hash, actor=actor))
        return self.tokens.issue_access(changed)

    # Administration

    def require_registrar(self, user: CurrentUser) -> None:
        """Raise PermissionDeniedError if a logged-in user may not create accounts."""
        if not self.registration_is_open:
            require_admin(user.role)

    async def create_account(self, actor: AuditActor, name: str, password: str, role: Role) -> Account:
        """Create an account, as an admin or, if registration is open, as anyone.

        Raises:
            PermissionDeniedError: registration is closed, or the role is reserved to admins.
            InvalidInputError: the password is unsafe.
            TooManyRequestsError: too many registrations from one address, or the queue of password hashes is full.
            ConflictError: the name is taken.
        """
        user = actor.user
        if user is not None or not self.registration_is_open:
            user = self.directory.logged_in(user)
            self.require_registrar(user)
        if user is None or user.role is not Role.ADMIN:
            if role is not Role.USER:
                raise PermissionDeniedError("only an admin may give another role than user; leave the role out")
            await self.directory.wait_for_first_refresh()
            self.passwords.require_capacity()
            await self._calls.run(lambda store: self.throttle.count_registration(store.attempts, actor.address))
        await require_safe_password(self.passwords, "password", password, name)
        password_hash = await self._hash(password)
        return await self._calls.change(lambda store: store.add(name, password_hash, role, actor=actor))

    async def list_accounts(self, user: CurrentUser, after: str, limit: int) -> Sequence[Account]:
        """Return at most `limit` accounts whose names sort after `after`, by name (admin only)."""
        self._require_admin(user)
        return await self._calls.run(lambda store: store.page(after, limit))

    async def list_events(self, user: CurrentUser, before: uuid.UUID | None, limit: int) -> Sequence[AccountEvent]:
        """Return at most `limit` events that precede an event, newest first (admin only)."""
        self._require_admin(user)
        return await self._calls.run(lambda store: store.events(before, limit))

    async def change_account(
        self,
        actor: AuditActor,
        name: str,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
        password: str | None = None,
    ) -> Account:
        """Change an account's role, its password, or whether it is disabled, and revoke its tokens (admin only).

        Raises:
            NotFoundError: no account has the name.
            PermissionDeniedError: the password is the admin's own.
            InvalidInputError: the password is unsafe.
            ConflictError: the account is the last active admin.
        """
        user = self._require_admin(actor.user)
        name, password_hash = lookup_name(name), None
        if password is not None:
            if name == user.name:
                raise PermissionDeniedError(
                    "change your own password with PUT /users/me/password, which requires the current one"
                )
            await require_safe_password(self.passwords, "password", password, name)
            password_hash = await self._hash(password)

        def change(store: AccountStore) -> Account:
            return store.change(name, actor=actor, role=role, disabled=disabled, password_hash=password_hash)

        account = await self._calls.change(change)
        if password_hash is not None:
            await self._calls.run(lambda store: self.throttle.reset(store.attempts, name))
        return account

    async def delete_account(self, actor: AuditActor, user_id: uuid.UUID, *, erase: bool = False) -> DeletedAccount:
        """Delete the account with an id: the user's own, or any as an admin. See `delete_account_by_name`."""
        if self.directory.logged_in(actor.user).id != user_id:
            self._require_admin(actor.user)
        return await self._calls.change(lambda store: store.delete(user_id, actor=actor, erase=erase))

    async def delete_account_by_name(self, actor: AuditActor, name: str, *, erase: bool = False) -> DeletedAccount:
        """Delete the account with a name; with `erase`, also its predictions and its name in events (admin only).

        Raises:
            NotFoundError: no account has the name.
            ConflictError: the account is the last active admin.
        """
        self._require_admin(actor.user)
        name = lookup_name(name)
        return await self._calls.change(lambda store: store.delete_by_name(name, actor=actor, erase=erase))

    async def erase_deleted_account(self, actor: AuditActor, user_id: uuid.UUID) -> DeletedAccount:
        """Erase the predictions of a deleted account and its name in events (admin only). Raises NotFoundError."""
        self._require_admin(actor.user)
        return await self._calls.change(lambda store: store.erase_deleted(user_id, actor=actor))

    def _require_admin(self, user: CurrentUser | None) -> CurrentUser:
        user = self.directory.logged_in(user)
        require_admin(user.role)
        return user

    async def _hash(self, password: str) -> str:
        self.directory.require_database()  # a hash that cannot be stored would be wasted
        return await self.passwords.hash(password)

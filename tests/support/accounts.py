"""An account service for tests, without an app, and a store that can become unavailable."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.key_models import CachedKey
from slipway_api.accounts.key_text import KeyTexts
from slipway_api.accounts.login_throttle import Limits, LoginThrottle
from slipway_api.accounts.metrics import AccountMetrics
from slipway_api.accounts.models import Account, CachedAccount, FirstAdmin, Role, Snapshot
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.service import AccountService
from slipway_api.accounts.store import DATABASE_UNAVAILABLE
from slipway_api.accounts.tokens import Tokens
from slipway_api.errors import ConflictError, NotReadyError
from slipway_api.metrics import Metrics
from support.api import SECRET_KEY

LIMITS = Limits(per_name=3, per_address=5, window_seconds=300)


class FakeStore:
    """Accounts and keys in dictionaries, which can become unavailable."""

    def __init__(self) -> None:
        self.away = False
        self.rows: dict[str, tuple[Account, str]] = {}
        self.cached_keys: dict[uuid.UUID, CachedKey] = {}
        self.revoked: dict[uuid.UUID, float] = {}
        self.before_snapshot_returns: Callable[[], None] = lambda: None

    def add(self, name: str, password_hash: str, role: Role, **_event: object) -> Account:
        self._check()
        if name in self.rows:
            raise ConflictError(f"the name {name} is taken; choose another")
        account = Account(uuid.uuid4(), name, role, 1, disabled=False, created_at=datetime.now(UTC))
        self.rows[name] = account, password_hash
        return account

    def find(self, name: str) -> tuple[Account, str] | None:
        self._check()
        return self.rows.get(name)

    def count(self) -> int:
        self._check()
        return len(self.rows)

    def snapshot(self) -> Snapshot:
        self._check()
        known = {a.id: CachedAccount(a.name, a.role, a.version, a.disabled) for a, _ in self.rows.values()}
        keys, revoked = dict(self.cached_keys), dict(self.revoked)
        self.before_snapshot_returns()
        return Snapshot(known, keys, revoked)

    def change(self, name: str, **changes: Any) -> Account:
        account, password_hash = self.rows[name]
        changed = replace(account, version=account.version + 1, **changes)
        self.rows[name] = changed, password_hash
        return changed

    def _check(self) -> None:
        if self.away:
            raise NotReadyError(DATABASE_UNAVAILABLE) from ConnectionError("the socket is closed")


def account_service(
    directory: AccountDirectory,
    first_admin: FirstAdmin | None = None,
    *,
    registration_is_open: bool = False,
    limits: Limits = LIMITS,
) -> AccountService:
    """Return a service over a directory; close it after the test."""
    passwords = Passwords()
    passwords._pause_factor = 0.0  # tests hash one password after another
    passwords._context = passwords._context.using(argon2__time_cost=1, argon2__memory_cost=64)
    return AccountService(
        directory,
        passwords,
        LoginThrottle(SECRET_KEY, limits),
        Tokens(SECRET_KEY, 3600),
        KeyTexts(SECRET_KEY),
        AccountMetrics(Metrics()),
        first_admin=first_admin,
        registration_is_open=registration_is_open,
    )

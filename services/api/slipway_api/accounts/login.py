"""The verification of passwords: throttled, counted, and equally slow for unknown names."""

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.known_networks import KnownNetworks
from slipway_api.accounts.login_throttle import Attempt, LoginThrottle
from slipway_api.accounts.metrics import AccountMetrics
from slipway_api.accounts.models import Account
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.store import AccountStore
from slipway_api.accounts.store_calls import StoreCalls
from slipway_api.errors import TooManyRequestsError
from slipway_core.logging import get_logger
from slipway_core.policy import MAX_PASSWORD_LENGTH, NAME_PATTERN

# The time limit of a login's first query. The driver may try several connections, which takes longer.
QUERY_TIMEOUT_SECONDS = 5.0
# A text that cannot be a name is counted by its first characters.
MAX_COUNTED_LENGTH = 256

log = get_logger("slipway.accounts")


class PasswordLogin:
    """Verifies a name and a password against the store, and counts failures and outcomes."""

    def __init__(
        self,
        directory: AccountDirectory,
        passwords: Passwords,
        throttle: LoginThrottle,
        known_networks: KnownNetworks,
        metrics: AccountMetrics,
    ) -> None:
        self._directory = directory
        self._calls = StoreCalls(directory)
        self._passwords = passwords
        self._throttle = throttle
        self._known_networks = known_networks
        self._metrics = metrics

    def require_capacity(self) -> None:
        """Reject a login before its body is read if the queue of password hashes is full.

        Raises:
            TooManyRequestsError: the queue is full.
        """
        try:
            self._passwords.require_capacity()
        except TooManyRequestsError:
            self._metrics.logins.labels("throttled").inc()
            raise

    async def verify(self, name: str, password: str, address: str | None) -> Account | None:
        """Return the account with a name and a password; None if the password is wrong or the account is disabled.

        Raises:
            TooManyRequestsError: too many logins have failed recently, or the queue of password hashes is full.
            NotReadyError: the database is unavailable.
        """
        name = name[:MAX_COUNTED_LENGTH]
        try:
            attempt, found = await self._begin(name, address)
            # A password over the limit is wrong; hashing megabytes of it would waste time.
            is_right = await self._passwords.verify(password[: MAX_PASSWORD_LENGTH + 1], found[1] if found else None)
        except TooManyRequestsError:
            self._metrics.logins.labels("throttled").inc()
            raise
        if found is None or not is_right or found[0].disabled:
            await self._record_failure(name, attempt, address)
            return None
        account, password_hash = found
        await self._calls.run(lambda store: self._throttle.record_success(store.attempts, attempt))
        renewed = await self._passwords.rehash_if_outdated(password, password_hash)
        if renewed is not None:
            await self._calls.run(lambda store: store.renew_hash(account, password_hash, renewed))
        # The account may be newer than the cache: another worker may have added it.
        self._directory.update(account)
        self._known_networks.add(address)
        self._metrics.logins.labels("ok").inc()
        return account

    async def _begin(self, name: str, address: str | None) -> tuple[Attempt, tuple[Account, str] | None]:
        def look_up(store: AccountStore) -> tuple[Attempt, tuple[Account, str] | None]:
            attempt = self._throttle.check(store.attempts, name, address)
            # Other texts cannot be names, and not every database accepts every character.
            return attempt, store.find(name) if NAME_PATTERN.fullmatch(name) else None

        self._throttle.reject_recent(name, address)
        self._passwords.require_capacity()
        await self._directory.wait_for_first_refresh()
        return await self._calls.run(look_up, QUERY_TIMEOUT_SECONDS)

    async def _record_failure(self, name: str, attempt: Attempt, address: str | None) -> None:
        def record(store: AccountStore) -> None:
            if self._throttle.record_failure(store.attempts, attempt):
                store.record_lockout(name, actor=AuditActor(address=address))

        await self._calls.run(record)
        self._metrics.logins.labels("refused").inc()
        log.warning("login_refused", address=address)

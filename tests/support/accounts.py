"""An account service for tests, without an app."""

from slipway_api.accounts.directory import AccountDirectory
from slipway_api.accounts.login_throttle import Limits, LoginThrottle
from slipway_api.accounts.models import FirstAdmin
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.service import AccountService
from slipway_api.accounts.tokens import Tokens
from slipway_api.metrics import Metrics
from support.api import SECRET_KEY

LIMITS = Limits(per_name=3, per_address=5, window_seconds=300)


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
        Metrics(),
        first_admin=first_admin,
        registration_is_open=registration_is_open,
    )

"""Create the first administrator of an installation."""

from slipway_api.accounts.events import Action
from slipway_api.accounts.models import FirstAdmin, Role
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.store_calls import StoreCalls
from slipway_api.errors import ConflictError, NotReadyError
from slipway_core.logging import get_logger

log = get_logger("slipway.accounts")


async def create_first_admin(calls: StoreCalls, passwords: Passwords, admin: FirstAdmin) -> bool:
    """Create the first administrator, unless the database has accounts.

    An unsafe password is reported here and not at the start, because only the first start needs the check.

    Returns:
        True when done; False if the database is unavailable and the call must be repeated.
    """
    try:
        if await calls.run(lambda store: store.count() > 0):
            return True
        why = None if admin.may_be_unsafe else await passwords.why_unsafe(admin.password, admin.name)
        if why is not None:
            log.error("first_admin_refused", reason=f"SLIPWAY_ADMIN_PASSWORD {why}; then restart")
            return True
        password_hash = await passwords.hash(admin.password)
        action = Action.FIRST_ADMIN_MADE
        await calls.change(lambda store: store.add(admin.name, password_hash, Role.ADMIN, action=action))
    except NotReadyError:
        return False
    except ConflictError:  # another replica has created it
        return True
    return True

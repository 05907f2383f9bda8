"""Checking a password: counted, throttled, off the event loop, and in alike time whether there is the name or not."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from slipway_api.accounts.directory import DATABASE_AWAY
from slipway_api.accounts.events import Actor
from slipway_api.accounts.login_throttle import Attempt
from slipway_api.accounts.models import Account
from slipway_api.errors import NotReadyError, TooManyRequestsError
from slipway_api.web.services import Services
from slipway_core.logging import get_logger
from slipway_core.policy import MAX_PASSWORD_LENGTH, NAME_PATTERN

# How long a login waits for what the database knows of it.
ANSWER_SECONDS = 5.0
# Of what no account can be called, so much is counted by.
MAX_COUNTED_LENGTH = 256

log = get_logger("slipway.accounts")

T = TypeVar("T")


async def authenticate(services: Services, name: str, password: str, address: str | None) -> Account | None:
    """Return the account that a name and a password belong to; None if they do not, or it is disabled.

    Raises:
        TooManyRequestsError: too many failed of late, or too many wait for their hash.
        NotReadyError: the database is away.
    """
    accounts, throttle, passwords, metrics = services.accounts, services.throttle, services.passwords, services.metrics
    name = name[:MAX_COUNTED_LENGTH]

    def look_up() -> tuple[Attempt, tuple[Account, str] | None]:
        attempt = throttle.check(accounts.store.attempts, name, address)
        # What no account can be called is not asked for: not every database takes every character.
        return attempt, accounts.store.find(name) if NAME_PATTERN.fullmatch(name) else None

    def fail(attempt: Attempt) -> None:
        if throttle.failed(accounts.store.attempts, attempt):
            accounts.store.tell_locked(name, by=Actor(address=address))

    try:
        throttle.refuse_again(name, address)
        passwords.check_room()
        await accounts.opened()
        accounts.check_database()
        attempt, found = await _in_time(look_up)
        # A password over the limit cannot be right; it is not worth a hash of megabytes.
        right = await passwords.verify(password[: MAX_PASSWORD_LENGTH + 1], found[1] if found else None)
    except TooManyRequestsError:
        metrics.logins.labels("throttled").inc()
        raise
    if found is None or not right or found[0].disabled:
        await asyncio.to_thread(fail, attempt)
        metrics.logins.labels("refused").inc()
        log.warning("login_refused", address=address)
        return None
    account, password_hash = found
    await asyncio.to_thread(lambda: throttle.succeeded(accounts.store.attempts, attempt))
    renewed = await passwords.renewed(password, password_hash)
    if renewed is not None:
        await asyncio.to_thread(lambda: accounts.store.renew_hash(account, password_hash, renewed))
    accounts.note(account)
    services.known_networks.add(address)
    metrics.logins.labels("ok").inc()
    return account


async def _in_time(question: Callable[[], T]) -> T:
    """Ask the database in a thread, and wait no longer than for one statement, though it may try several connections.

    Raises:
        NotReadyError: it does not answer.
    """
    try:
        return await asyncio.wait_for(asyncio.to_thread(question), ANSWER_SECONDS)
    except TimeoutError as error:
        raise NotReadyError(DATABASE_AWAY) from error

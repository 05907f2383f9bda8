"""Calls of the account store from coroutines."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from slipway_api.accounts.directory import AccountDirectory, Change
from slipway_api.accounts.store import DATABASE_UNAVAILABLE, AccountStore
from slipway_api.errors import NotReadyError

T = TypeVar("T")
Changed = TypeVar("Changed", bound=Change)


class StoreCalls:
    """Runs operations on the store in threads, and applies changes to the directory.

    Every operation raises NotReadyError while the database is unavailable.
    """

    def __init__(self, directory: AccountDirectory) -> None:
        self._directory = directory

    async def run(self, operation: Callable[[AccountStore], T], timeout_seconds: float | None = None) -> T:
        """Return the result of an operation that leaves the cached accounts as they are."""
        self._directory.require_database()
        # Opening the store blocks, so the thread does it.
        call = asyncio.to_thread(lambda: operation(self._directory.store))
        if timeout_seconds is None:
            return await call
        try:
            return await asyncio.wait_for(call, timeout_seconds)
        except TimeoutError as error:
            raise NotReadyError(DATABASE_UNAVAILABLE) from error

    async def change(self, operation: Callable[[AccountStore], Changed]) -> Changed:
        """Return the result of an operation that changes an account, key or token, after applying it to the directory.

        The thread of the transaction does both: if the request is cancelled meanwhile, a revocation still takes
        effect at once.
        """

        def change_and_apply(store: AccountStore) -> Changed:
            change = operation(store)
            self._directory.apply(change)
            return change

        return await self.run(change_and_apply)

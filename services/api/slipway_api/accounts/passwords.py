"""Password hashes: argon2id, off the event loop, one at a time, with a bounded queue."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from passlib.context import CryptContext

from slipway_api.errors import TooManyRequestsError

MAX_WAITING = 16
RETRY_AFTER_SECONDS = 1
MEMORY_KIB = 19 * 1024
# About a tenth of a busy core; all of an idle one.
NICENESS = 10
# After each hash the thread rests for so many times the processor's time that it took: its 19 MiB push everything else
# out of the caches, whatever its priority. One login waits for nothing; in a flood there are five a second.
REST = 4.0

T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords (OWASP Password Storage: argon2id, 19 MiB, t=2, p=1).

    A hash takes memory and a core, so a flood of logins must not take all of either: one is computed at a time, and
    no more than MAX_WAITING wait for it.
    """

    def __init__(self) -> None:
        self._context = CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=MEMORY_KIB,
            argon2__time_cost=2,
            argon2__parallelism=1,
        )
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="password", initializer=_yield_to_others)
        self._waiting = 0
        self._rest = REST
        self._rested_at = 0.0
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        """Return the hash of a password.

        Raises:
            TooManyRequestsError: too many wait already.
        """
        return await self._run(self._hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Check a password; without a hash, as long is worked to say no.

        Raises:
            TooManyRequestsError: too many wait already.
        """
        return await self._run(self._verify, password, password_hash)

    async def renewed(self, password: str, password_hash: str) -> str | None:
        """Return a new hash of a password that was verified, if the one it has was made with other parameters.

        None while too many wait: a later login renews it.
        """
        if not self._context.needs_update(password_hash):
            return None
        try:
            return await self.hash(password)
        except TooManyRequestsError:
            return None

    def check_room(self) -> None:
        """Refuse at once what would be refused for a full queue.

        Raises:
            TooManyRequestsError: too many wait already.
        """
        if self._waiting > MAX_WAITING:
            raise TooManyRequestsError("too many logins at once; try again in a moment", RETRY_AFTER_SECONDS)

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[..., T], *args: str | None) -> T:
        self.check_room()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._rested, function, *args)
        finally:
            self._waiting -= 1

    def _rested(self, function: Callable[..., T], *args: str | None) -> T:
        """Run a function in the thread, once it has rested from the one before."""
        time.sleep(max(0.0, self._rested_at - time.monotonic()))
        began = time.thread_time()
        try:
            return function(*args)
        finally:
            self._rested_at = time.monotonic() + self._rest * (time.thread_time() - began)

    def _hash(self, password: str) -> str:
        password_hash: str = self._context.hash(password)
        return password_hash

    def _verify(self, password: str, password_hash: str | None) -> bool:
        if password_hash is None:
            self._dummy = self._dummy or self._hash("nobody's password")
            password_hash, known = self._dummy, False
        else:
            known = True
        return bool(self._context.verify(password, password_hash)) and known


def _yield_to_others() -> None:
    """Lower the thread's priority, where a thread has one of its own: predictions come before logins.

    Else a flood of wrong passwords would take half of a core that both must share.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))

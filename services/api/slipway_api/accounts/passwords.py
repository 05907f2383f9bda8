"""Password hashing with argon2id: outside the event loop, one hash at a time, with a bounded queue."""

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from passlib.context import CryptContext

from slipway_api.errors import TooManyRequestsError
from slipway_core.bounded_executor import BoundedExecutor

MAX_WAITING = 16
RETRY_AFTER_SECONDS = 1
MEMORY_KIB = 19 * 1024
# About a tenth of a busy core, or all of an idle core.
NICENESS = 10
# After each hash the thread pauses for this multiple of the CPU time used: whatever the priority, 19 MiB evict other
# data from the CPU caches. A single login does not wait; under load about five run each second.
PAUSE_FACTOR = 4.0

T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords (OWASP Password Storage: argon2id, 19 MiB, t=2, p=1).

    A hash needs memory and a core. To bound both under a flood of logins, one hash runs at a time, and at most
    MAX_WAITING requests wait.
    """

    def __init__(self) -> None:
        self._context = CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=MEMORY_KIB,
            argon2__time_cost=2,
            argon2__parallelism=1,
        )
        full = partial(TooManyRequestsError, "too many logins at once; try again in a moment", RETRY_AFTER_SECONDS)
        self._executor = BoundedExecutor("password", 1, MAX_WAITING, full, _lower_priority)
        self._pause_factor = PAUSE_FACTOR
        self._paused_until = 0.0
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        """Return the hash of a password.

        Raises:
            TooManyRequestsError: the queue is full.
        """
        return await self._executor.run(lambda: self._run_paced(lambda: self._hash(password)))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether a password matches a hash. Without a hash, take equally long and return False.

        Raises:
            TooManyRequestsError: the queue is full.
        """
        return await self._executor.run(lambda: self._run_paced(lambda: self._verify(password, password_hash)))

    async def rehash_if_outdated(self, password: str, password_hash: str) -> str | None:
        """Return a new hash of a verified password if its hash has outdated parameters, else None.

        Returns None while the queue is full: a later login renews the hash.
        """
        if not self._context.needs_update(password_hash):
            return None
        try:
            return await self.hash(password)
        except TooManyRequestsError:
            return None

    def require_capacity(self) -> None:
        """Fail fast if the queue is full.

        Raises:
            TooManyRequestsError: the queue is full.
        """
        self._executor.require_capacity()

    def close(self) -> None:
        """Stop the thread."""
        self._executor.close()

    def _run_paced(self, function: Callable[[], T]) -> T:
        """Run a function in the thread, after the pause that follows the previous one."""
        time.sleep(max(0.0, self._paused_until - time.monotonic()))
        started_at = time.thread_time()
        try:
            return function()
        finally:
            self._paused_until = time.monotonic() + self._pause_factor * (time.thread_time() - started_at)

    def _hash(self, password: str) -> str:
        password_hash: str = self._context.hash(password)
        return password_hash

    def _verify(self, password: str, password_hash: str | None) -> bool:
        if password_hash is None:
            self._dummy = self._dummy or self._hash("a dummy password")
            password_hash, is_dummy = self._dummy, True
        else:
            is_dummy = False
        return bool(self._context.verify(password, password_hash)) and not is_dummy


def _lower_priority() -> None:
    """Lower the thread's priority where the platform supports it: predictions take precedence over logins.

    At equal priority, a flood of wrong passwords would take half of a shared core.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))

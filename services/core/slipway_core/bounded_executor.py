"""Run blocking calls in threads, with a bounded queue."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class BoundedExecutor:
    """A fixed number of threads. Use it from one event loop only."""

    def __init__(
        self,
        name: str,
        threads: int,
        max_waiting: int,
        full: Callable[[], Exception],
        initializer: Callable[[], object] | None = None,
    ) -> None:
        """Start no thread yet.

        Args:
            name: the prefix of the threads' names.
            threads: how many calls may run at a time.
            max_waiting: how many calls may wait for a thread.
            full: returns the error for a call that exceeds this number.
            initializer: runs at the start of each thread.
        """
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=initializer)
        self._max_pending = threads + max_waiting
        self._full = full
        self.pending = 0

    def require_capacity(self) -> None:
        """Raise the error of `full` if no other call may wait."""
        if self.pending >= self._max_pending:
            raise self._full()

    async def run(self, function: Callable[[], T]) -> T:
        """Return the result of a call in a thread; raise the error of `full` if too many calls are waiting."""
        self.require_capacity()
        self.pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        finally:
            self.pending -= 1

    def close(self) -> None:
        """Cancel the waiting calls, without waiting for the running ones."""
        self._threads.shutdown(wait=False, cancel_futures=True)

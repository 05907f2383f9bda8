"""Run blocking calls in threads, with a bounded queue."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class BoundedExecutor:
    """A number of named threads and of calls that may wait for one, for use from one event loop.

    For a further call, `full` returns the error to raise. `initializer` runs at the start of each thread.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        max_waiting: int,
        full: Callable[[], Exception],
        initializer: Callable[[], object] | None = None,
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=initializer)
        self._max_pending = threads + max_waiting
        self._full = full
        self.pending = 0

    def require_capacity(self) -> None:
        """Raise the error of `full` if no further call may wait."""
        if self.pending >= self._max_pending:
            raise self._full()

    async def run(self, function: Callable[[], T]) -> T:
        """Return the result of a call in a thread; raise the error of `full` if no further call may wait."""
        self.require_capacity()
        self.pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        finally:
            self.pending -= 1

    def close(self) -> None:
        """Cancel the waiting calls, without waiting for the running ones."""
        self._threads.shutdown(wait=False, cancel_futures=True)

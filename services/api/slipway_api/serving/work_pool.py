"""Threads for work that would hold up the event loop, with a bounded queue before them."""

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from slipway_api.errors import NotReadyError

MAX_THREADS = 4

P = ParamSpec("P")
T = TypeVar("T")


class WorkPool:
    """A few threads, and as many waiting as a setting allows."""

    def __init__(self, max_waiting: int) -> None:
        threads = max(1, min(MAX_THREADS, os.cpu_count() or 1))
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._places = threading.BoundedSemaphore(threads + max_waiting)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a thread.

        Whoever is cancelled while waiting leaves the queue; what has begun is finished and forgotten.

        Raises:
            NotReadyError: the queue is full.
        """
        if not self._places.acquire(blocking=False):
            raise NotReadyError("the queue of large requests is full; try again in a moment", 1)
        context = contextvars.copy_context()
        try:
            future = self._executor.submit(lambda: context.run(function, *args, **kwargs))
        except BaseException:
            self._places.release()
            raise
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads; what waits is given up."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _leave(self, _future: Future[T]) -> None:
        self._places.release()

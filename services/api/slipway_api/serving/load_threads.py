"""Run each load in its own thread, so that a slow load does not block others."""

import contextvars
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial

from slipway_api.serving.model_ref import ModelRef

CONCURRENT_LOADS = 4
CONCURRENT_RETRIES = 2
# A load starts after this wait even if others still run: those may hang until their own deadlines.
TURN_SECONDS = 5.0
RETRY_TURN_SECONDS = 60.0


class LoadThreads:
    """Start loads and track which are running. Only one thread at a time may call `start` and `wait`."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._threads: dict[ModelRef, threading.Thread] = {}
        self._first = threading.BoundedSemaphore(CONCURRENT_LOADS)
        self._retries = threading.BoundedSemaphore(CONCURRENT_RETRIES)

    def running(self) -> frozenset[ModelRef]:
        """Return the references that are being loaded."""
        return frozenset(ref for ref, thread in self._threads.items() if thread.is_alive())

    def start(self, ref: ModelRef, load: Callable[[], None]) -> None:
        """Run a load in a daemon thread, so that the process can end without waiting for it."""
        thread = threading.Thread(target=partial(contextvars.copy_context().run, load), name=f"load-{ref}", daemon=True)
        # Replaced, never modified: any thread may iterate over it.
        self._threads = {**{key: one for key, one in self._threads.items() if one.is_alive()}, ref: thread}
        thread.start()

    @contextmanager
    def turn(self, *, is_retry: bool) -> Iterator[None]:
        """Limit the number of concurrent loads; retries have a limit of their own, so that first loads go ahead."""
        turns, seconds = (self._retries, RETRY_TURN_SECONDS) if is_retry else (self._first, TURN_SECONDS)
        taken = turns.acquire(timeout=seconds)
        try:
            yield
        finally:
            if taken:
                turns.release()

    def wait(self, refs: Collection[ModelRef], seconds: float) -> None:
        """Wait until these loads end, or a timeout expires."""
        deadline = time.monotonic() + seconds
        for ref, thread in self._threads.items():
            if ref in refs:
                thread.join(max(0.0, deadline - time.monotonic()))

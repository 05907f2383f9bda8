"""The threads that load models, one for each reference at a time: a slow load holds up no other for long."""

import contextvars
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial

from slipway_api.serving.model_ref import ModelRef

CONCURRENT_LOADS = 4
CONCURRENT_RETRIES = 2
# A load that waits this long for its turn goes ahead: those before it may hang until their own deadlines.
TURN_SECONDS = 5.0
RETRY_TURN_SECONDS = 60.0


class LoadThreads:
    """Starts loads and knows which of them still run. One thread at a time starts and awaits them."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._threads: dict[ModelRef, threading.Thread] = {}
        self._first = threading.BoundedSemaphore(CONCURRENT_LOADS)
        self._retries = threading.BoundedSemaphore(CONCURRENT_RETRIES)

    def running(self) -> frozenset[ModelRef]:
        """Return what is being loaded."""
        return frozenset(ref for ref, thread in self._threads.items() if thread.is_alive())

    def start(self, ref: ModelRef, load: Callable[[], None]) -> None:
        """Run a load in a thread of its own, for which the end of the process does not wait."""
        thread = threading.Thread(target=partial(contextvars.copy_context().run, load), name=f"load-{ref}", daemon=True)
        # The dictionary is replaced and never changed, so that any thread may walk over it.
        self._threads = {**{key: one for key, one in self._threads.items() if one.is_alive()}, ref: thread}
        thread.start()

    @contextmanager
    def turn(self, *, is_retry: bool) -> Iterator[None]:
        """Wait until few enough loads run. What failed before takes no turn of what is loaded for the first time."""
        turns, seconds = (self._retries, RETRY_TURN_SECONDS) if is_retry else (self._first, TURN_SECONDS)
        taken = turns.acquire(timeout=seconds)
        try:
            yield
        finally:
            if taken:
                turns.release()

    def wait(self, refs: Collection[ModelRef], seconds: float) -> None:
        """Wait until some loads have ended, or a time has passed."""
        deadline = time.monotonic() + seconds
        for ref, thread in self._threads.items():
            if ref in refs:
                thread.join(max(0.0, deadline - time.monotonic()))

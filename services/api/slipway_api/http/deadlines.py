"""Enforce the time limit of requests, with one timer for all of them."""

import asyncio
from types import TracebackType
from typing import Any, cast


class Deadlines:
    """Deadlines of equal duration for any number of tasks.

    A timer per request (`asyncio.timeout`) would cost a tenth of a prediction. Deadlines of equal duration expire in
    the order of their start, so one timer for the oldest is enough.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: dict[Deadline, None] = {}  # in order of their start
        self._armed: asyncio.AbstractEventLoop | None = None

    def begin(self, deadline: "Deadline") -> None:
        """Start a deadline."""
        loop = asyncio.get_running_loop()
        deadline.ends_at = loop.time() + self.seconds
        self._running[deadline] = None
        if self._armed is not loop:
            self._arm(loop, deadline.ends_at)

    def forget(self, deadline: "Deadline") -> None:
        """Cancel a deadline."""
        self._running.pop(deadline, None)

    def _arm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._armed = loop
        loop.call_at(at, self._expire_due, loop)

    def _expire_due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._armed = None
        for deadline in list(self._running):
            if deadline.ends_at > loop.time():
                self._arm(loop, deadline.ends_at)
                break
            self.forget(deadline)
            deadline.end()


class Deadline:
    """A context manager whose block ends with TimeoutError at the deadline.

    Attributes:
        ends_at: when it expires, on the loop's clock in seconds.
        is_over: whether it has expired.
    """

    __slots__ = ("_all", "_cancelling", "_task", "ends_at", "is_over")

    def __init__(self, deadlines: Deadlines) -> None:
        self._all = deadlines
        self.ends_at = 0.0
        self.is_over = False

    def __enter__(self) -> None:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = self._task.cancelling()
        self._all.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._all.forget(self)
        # Keep a cancellation that came from elsewhere.
        if self.is_over and self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def end(self) -> None:
        """Cancel the block."""
        self.is_over = True
        self._task.cancel()

"""Blocking calls in threads: how many run, and how many wait."""

import asyncio
import threading

import pytest

from slipway_core.bounded_executor import BoundedExecutor

THREADS = 2
MAX_WAITING = 3


@pytest.fixture
def executor() -> BoundedExecutor:
    return BoundedExecutor("test", THREADS, MAX_WAITING, lambda: InterruptedError("too many calls"))


class HeldCall:
    """A call that blocks until it is released, and counts the running ones."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self.released.wait(10)
        with self._lock:
            self.running -= 1


def test_calls_are_rejected_while_the_queue_is_full(executor: BoundedExecutor) -> None:
    call = HeldCall()

    async def flood() -> None:
        accepted = [asyncio.create_task(executor.run(call)) for _ in range(THREADS + MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(InterruptedError, match="too many calls"):
            await executor.run(call)
        with pytest.raises(InterruptedError):
            executor.require_capacity()
        call.released.set()
        await asyncio.gather(*accepted)

    asyncio.run(flood())
    executor.close()

    assert (call.most_running, executor.pending) == (THREADS, 0)


def test_close_does_not_wait_for_a_running_call(executor: BoundedExecutor) -> None:
    call = HeldCall()

    async def run_two() -> list[BaseException | None]:
        tasks = [asyncio.create_task(executor.run(call)) for _ in range(THREADS + 1)]
        await asyncio.sleep(0)
        executor.close()
        call.released.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    *ran, cancelled = asyncio.run(run_two())

    assert ran == [None, None]
    assert isinstance(cancelled, asyncio.CancelledError)

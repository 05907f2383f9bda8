"""Blocking calls in threads: how many run, and how many wait."""

import asyncio
import threading

import pytest

from slipway_core.bounded_executor import BoundedExecutor


def test_calls_are_rejected_while_the_queue_is_full() -> None:
    executor = BoundedExecutor("bounded", 2, 3, InterruptedError)
    released = threading.Event()

    async def flood() -> None:
        accepted = [asyncio.create_task(executor.run(lambda: released.wait(10))) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(InterruptedError):
            await executor.run(released.is_set)
        assert sum(thread.name.startswith("bounded") for thread in threading.enumerate()) == 2
        released.set()
        assert await asyncio.gather(*accepted) == [True] * 5
        assert await executor.run(released.is_set)

    asyncio.run(flood())
    executor.close()

"""Threads for large requests, and the queue before them."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import pytest

from slipway_api.errors import NotReadyError
from slipway_api.serving.work_pool import WorkPool

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE")


@pytest.fixture
def pool() -> Iterator[WorkPool]:
    pool = WorkPool(max_waiting=2)
    yield pool
    pool.close()


def places(pool: WorkPool) -> int:
    """Return how many more may come."""
    return pool._places._value


def test_what_a_function_returns_or_raises_comes_back(pool: WorkPool) -> None:
    assert asyncio.run(pool.run(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(pool.run(divmod, 7, 0))


def test_the_context_of_the_request_goes_along(pool: WorkPool) -> None:
    async def ask() -> str:
        VARIABLE.set("the-one")
        return await pool.run(VARIABLE.get)

    assert asyncio.run(ask()) == "the-one"


def test_whoever_finds_no_place_is_sent_away_at_once(pool: WorkPool) -> None:
    release = threading.Event()

    async def crowd() -> list[bool | BaseException]:
        held = [asyncio.create_task(pool.run(release.wait, 30)) for _ in range(places(pool))]
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError, match="the queue of large requests is full"):
            await pool.run(release.wait, 30)
        release.set()
        return await asyncio.gather(*held)

    assert set(asyncio.run(crowd())) == {True}


def test_whoever_gives_up_waiting_leaves_the_queue_and_is_never_run(pool: WorkPool) -> None:
    release, ran = threading.Event(), threading.Event()
    all_places = places(pool)

    async def give_up() -> int:
        held = [asyncio.create_task(pool.run(release.wait, 30)) for _ in range(all_places - 1)]
        waiting = asyncio.create_task(pool.run(ran.set))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        left = places(pool)
        release.set()
        await asyncio.gather(*held)
        return left

    assert asyncio.run(give_up()) == 1
    assert not ran.is_set()
    assert places(pool) == all_places

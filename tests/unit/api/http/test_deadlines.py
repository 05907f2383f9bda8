"""Deadlines of requests, with one timer for all of them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from slipway_api.http.deadlines import Deadline, Deadlines


async def for_ever() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    return


async def outcome(deadlines: Deadlines, work: Callable[[], Awaitable[None]] = for_ever) -> str:
    deadline = Deadline(deadlines)
    try:
        with deadline:
            await work()
    except TimeoutError:
        return "late" if deadline.is_over else "a timeout of its own"
    except asyncio.CancelledError:
        return "cancelled"
    return "done"


def test_what_takes_too_long_is_ended_and_the_rest_is_not() -> None:
    async def ask() -> list[str]:
        deadlines = Deadlines(0.05)
        return await asyncio.gather(*(outcome(deadlines, work) for work in (for_ever, at_once, for_ever, at_once)))

    assert asyncio.run(ask()) == ["late", "done", "late", "done"]


def test_each_has_its_time_whenever_it_begins() -> None:
    async def ask() -> tuple[list[str], list[float]]:
        loop, deadlines, began = asyncio.get_running_loop(), Deadlines(0.2), []
        took: list[float] = []

        async def begin_after(seconds: float) -> str:
            await asyncio.sleep(seconds)
            began.append(loop.time())
            answer = await outcome(deadlines)
            took.append(loop.time() - began[len(took)])
            return answer

        answers = await asyncio.gather(*(begin_after(0.05 * number) for number in range(4)))
        return answers, took

    answers, took = asyncio.run(ask())

    assert answers == ["late"] * 4
    assert min(took) >= 0.19  # the loop's clock is coarse


def test_time_goes_on_after_a_while_without_anybody() -> None:
    async def ask() -> list[str]:
        deadlines = Deadlines(0.02)
        answers = [await outcome(deadlines), await outcome(deadlines, at_once)]
        await asyncio.sleep(0.05)
        return [*answers, await outcome(deadlines)]

    assert asyncio.run(ask()) == ["late", "done", "late"]


def test_it_holds_in_another_loop_too() -> None:
    deadlines = Deadlines(0.02)

    assert [asyncio.run(outcome(deadlines, work)) for work in (at_once, for_ever)] == ["done", "late"]


def test_who_is_cancelled_by_another_is_not_late() -> None:
    async def ask() -> str:
        task = asyncio.create_task(outcome(Deadlines(60)))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(ask()) == "cancelled"


def test_a_cancellation_beside_the_deadline_is_not_lost() -> None:
    async def ask() -> None:
        deadline = Deadline(Deadlines(60))

        async def work() -> None:
            with deadline:
                await for_ever()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        deadline.end()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask())


def test_a_timeout_of_the_work_itself_is_no_deadline() -> None:
    async def fail() -> None:
        raise TimeoutError

    assert asyncio.run(outcome(Deadlines(60), fail)) == "a timeout of its own"


@pytest.mark.parametrize("seconds", [0.02, 60])
def test_nothing_is_left_of_what_has_ended(seconds: float) -> None:
    async def ask() -> bool:
        deadlines = Deadlines(seconds)
        await outcome(deadlines, for_ever if seconds < 1 else at_once)
        return bool(deadlines._running)

    assert asyncio.run(ask()) is False

"""Threads for large and slow requests, their queues, and runs that do not end."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from structlog.typing import EventDict

from slipway_api.errors import NotReadyError
from slipway_api.metrics import Metrics
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.work_pool import Key, WorkPool
from slipway_core.graph import RunOptions
from support.waiting import wait_for

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE")
SLOW, OTHER = Key("slow", "1"), Key("other", "1")
SECONDS = 20.0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def pool(metrics: Metrics) -> Iterator[WorkPool]:
    pool = WorkPool(2, ServingMetrics(metrics), threads=3, stuck_seconds=0.02)
    yield pool
    pool.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition without blocking the event loop."""
    await asyncio.to_thread(wait_for, condition, seconds=SECONDS)


class Blocker:
    """Ignore the termination until the test releases the function."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.started = 0
        self.terminated = 0

    def __call__(self, options: RunOptions) -> bool:
        self.started += 1
        done = self.release.wait(SECONDS)
        self.terminated += options.terminate
        return done

    def begin(self, pool: WorkPool, count: int, key: Key = SLOW) -> "list[asyncio.Task[bool]]":
        return [asyncio.create_task(pool.run(key, self)) for _ in range(count)]


async def get_stuck(pool: WorkPool, blocker: Blocker, count: int, key: Key = SLOW) -> None:
    """Leave runs behind that do not react to their termination."""
    before = pool.stuck_runs(*key)
    started = blocker.started
    tasks = blocker.begin(pool, count, key)
    await until(lambda: blocker.started == started + count)
    for task in tasks:
        task.cancel()
    await until(lambda: pool.stuck_runs(*key) == before + count)


def test_result_and_error_reach_the_caller(pool: WorkPool) -> None:
    assert asyncio.run(pool.run(SLOW, lambda _: divmod(7, 2))) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(pool.run(SLOW, lambda _: divmod(7, 0)))


def test_function_runs_in_the_context_of_the_request(pool: WorkPool) -> None:
    async def ask() -> str:
        VARIABLE.set("the-one")
        return await pool.run(SLOW, lambda _: VARIABLE.get())

    assert asyncio.run(ask()) == "the-one"


def test_full_queue_rejects_only_its_model(pool: WorkPool) -> None:
    blocker = Blocker()

    async def crowd() -> tuple[list[bool], int]:
        held = blocker.begin(pool, pool.most_per_model + 2)
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError, match="the queue of requests for slow is full"):
            await pool.run(SLOW, blocker)
        other = await asyncio.wait_for(pool.run(OTHER, lambda _: 42), SECONDS)
        blocker.release.set()
        return await asyncio.gather(*held), other

    assert asyncio.run(crowd()) == ([True] * 4, 42)


def test_one_model_leaves_a_thread_for_others(pool: WorkPool) -> None:
    blocker = Blocker()

    async def crowd() -> tuple[int, int]:
        held = blocker.begin(pool, 4)
        await until(lambda: blocker.started == pool.most_per_model)
        answers = [await asyncio.wait_for(pool.run(OTHER, lambda _: 1), SECONDS) for _ in range(5)]
        started = blocker.started
        blocker.release.set()
        await asyncio.gather(*held)
        return sum(answers), started

    assert asyncio.run(crowd()) == (5, 2)


def test_models_take_turns_when_all_threads_are_busy(metrics: Metrics) -> None:
    pool = WorkPool(8, ServingMetrics(metrics), threads=1)
    gate, order = threading.Event(), []

    async def crowd() -> None:
        first = asyncio.create_task(pool.run(SLOW, lambda _: gate.wait(SECONDS)))
        await until(lambda: pool._running[SLOW])
        tasks = [asyncio.create_task(pool.run(SLOW, lambda _: order.append("slow"))) for _ in range(3)]
        tasks.append(asyncio.create_task(pool.run(OTHER, lambda _: order.append("other"))))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *tasks)

    asyncio.run(crowd())
    pool.close()

    assert order == ["slow", "other", "slow", "slow"]


def test_cancelled_queued_job_never_runs(pool: WorkPool) -> None:
    blocker, ran = Blocker(), threading.Event()

    async def give_up() -> None:
        held = blocker.begin(pool, pool.most_per_model + 1)
        await until(lambda: blocker.started == pool.most_per_model)
        waiting = asyncio.create_task(pool.run(SLOW, lambda _: ran.set()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        held += blocker.begin(pool, 1)  # its slot is free again
        await asyncio.sleep(0)
        blocker.release.set()
        await asyncio.gather(*held)

    asyncio.run(give_up())

    assert not ran.is_set()
    assert not pool._queues


def test_cancelled_running_job_is_terminated(pool: WorkPool) -> None:
    terminated = threading.Event()

    def run(options: RunOptions) -> None:
        while not options.terminate:
            threading.Event().wait(0.001)
        terminated.set()

    async def cancel() -> int:
        task = asyncio.create_task(pool.run(SLOW, run))
        await until(lambda: pool._running[SLOW])
        task.cancel()
        await until(terminated.is_set)
        await until(lambda: not pool._running[SLOW])
        return pool.stuck_runs(*SLOW)

    assert asyncio.run(cancel()) == 0


def test_stuck_run_is_counted_logged_and_cleared_when_it_ends(
    pool: WorkPool, metrics: Metrics, logs: list[EventDict]
) -> None:
    blocker = Blocker()

    def gauge() -> float | None:
        return metrics.registry.get_sample_value("slipway_model_stuck_runs", {"model": "slow", "version": "1"})

    async def live() -> tuple[float | None, bool]:
        await get_stuck(pool, blocker, 1)
        counted = gauge()
        other = await asyncio.wait_for(pool.run(SLOW, lambda _: True), SECONDS)  # it uses another slot
        blocker.release.set()
        await until(lambda: not pool.stuck_runs(*SLOW))
        return counted, other

    assert asyncio.run(live()) == (1, True)
    assert gauge() == 0
    assert blocker.terminated == 1
    assert [entry["event"] for entry in logs] == ["model_run_stuck", "model_run_stuck_ended"]
    assert logs[0]["log_level"] == "error"


def test_stuck_runs_leave_capacity_for_other_models(pool: WorkPool) -> None:
    blocker, others = Blocker(), Blocker()

    async def live() -> int:
        await get_stuck(pool, blocker, pool.most_per_model)
        held = others.begin(pool, pool.most_per_model, OTHER)
        await until(lambda: others.started == pool.most_per_model)
        with pytest.raises(NotReadyError, match="version 1 of slow is stuck: 2 of its runs do not end") as raised:
            await pool.run(SLOW, lambda _: True)
        others.release.set()
        await asyncio.gather(*held)
        blocker.release.set()
        await until(lambda: not pool.stuck_runs(*SLOW))
        assert await pool.run(SLOW, lambda _: True)
        await until(lambda: pool._alive <= pool.threads)  # the replacements end
        return raised.value.retry_after_seconds

    assert asyncio.run(live()) > 0


def test_queued_jobs_of_a_stuck_model_fail_at_once(pool: WorkPool) -> None:
    blocker = Blocker()

    async def live() -> list[bool | BaseException]:
        tasks = blocker.begin(pool, pool.most_per_model)
        await until(lambda: blocker.started == pool.most_per_model)
        waiting = blocker.begin(pool, 2)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), SECONDS)
        blocker.release.set()
        return answers

    assert [type(answer) for answer in asyncio.run(live())] == [NotReadyError, NotReadyError]


@pytest.mark.parametrize("models", [2, 5])
def test_stuck_runs_start_a_bounded_number_of_threads(metrics: Metrics, models: int) -> None:
    pool = WorkPool(2, ServingMetrics(metrics), threads=3, stuck_seconds=0.02)
    blocker = Blocker()

    async def live() -> int:
        for number in range(models):
            key = Key(f"model-{number}", "1")
            if sum(pool._stuck.values()) < 2 * pool.threads:  # all threads are lost then
                await get_stuck(pool, blocker, 1, key)
        with pytest.raises(NotReadyError) if models > pool.threads else nullcontext():
            await pool.run(Key("model-0", "1"), lambda _: True)
        alive = pool._alive
        blocker.release.set()
        await until(lambda: not pool._stuck.total())
        await pool.run(OTHER, lambda _: True)
        return alive

    assert asyncio.run(live()) <= 2 * pool.threads
    pool.close()


def test_closed_pool_ends_queued_and_running_jobs(pool: WorkPool) -> None:
    async def live() -> list[object]:
        blocker = Blocker()
        tasks = blocker.begin(pool, 3)
        await until(lambda: blocker.started == pool.most_per_model)
        pool.close()
        waiting = await asyncio.gather(tasks[2], return_exceptions=True)
        blocker.release.set()
        await asyncio.gather(*tasks[:2])
        assert blocker.terminated == 2
        return [type(answer) for answer in waiting]

    assert asyncio.run(live()) == [asyncio.CancelledError]


def test_threads_do_not_delay_process_exit(pool: WorkPool) -> None:
    assert asyncio.run(pool.run(SLOW, lambda _: threading.current_thread().daemon))

"""Run blocking work in threads, with a bounded queue for each model."""

import asyncio
import contextvars
import os
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple, TypeVar

from slipway_api.errors import NotReadyError
from slipway_api.serving.metrics import ServingMetrics
from slipway_api.serving.served_model import ServedModel
from slipway_core.arena import releasing_options
from slipway_core.graph import RunOptions
from slipway_core.logging import get_logger

MAX_THREADS = 4
# A run that is still busy this long after its termination was requested is stuck.
STUCK_SECONDS = 1.0
RETRY_STUCK_SECONDS = 10

T = TypeVar("T")

log = get_logger("slipway.pool")


class Key(NamedTuple):
    """The model version of a job."""

    model: str
    version: str

    @classmethod
    def of(cls, model: ServedModel) -> "Key":
        """Return the key of a model."""
        return cls(model.name, model.version)


class _Job:
    """One function to run, and its state, which the pool's lock guards."""

    __slots__ = ("context", "function", "future", "is_ended", "is_stuck", "key", "options")

    def __init__(self, key: Key, function: Callable[[RunOptions], Any]) -> None:
        self.key = key
        self.function = function
        self.context = contextvars.copy_context()
        self.options = releasing_options()
        self.future: Future[Any] = Future()
        self.is_ended = False
        self.is_stuck = False

    def run(self) -> Callable[[], None]:
        """Run the function; return a function that delivers its result or error to the waiting caller."""
        if not self.future.set_running_or_notify_cancel():
            return lambda: None
        try:
            result = self.context.run(self.function, self.options)
        except BaseException as error:  # noqa: BLE001  # the caller's task raises it
            return partial(self.future.set_exception, error)
        return partial(self.future.set_result, result)


class WorkPool:
    """A pool of daemon threads that takes jobs from the models in turn.

    One model holds at most all threads except one, so that a slow model cannot block the others. A stuck run keeps its
    thread until it ends and still counts as a run of its model, while a new thread replaces it in the pool. The number
    of replaced threads is at most the size of the pool.
    """

    def __init__(
        self,
        max_waiting: int,
        metrics: ServingMetrics,
        *,
        threads: int | None = None,
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        """Start no thread yet.

        Args:
            max_waiting: how many jobs of one model may wait for a thread.
            metrics: counts stuck runs.
            threads: the number of threads; defaults to one more than cores, as one is reserved for other models.
            stuck_seconds: how long after its termination a busy run counts as stuck.
        """
        self.threads = threads or max(1, min(MAX_THREADS, os.cpu_count() or 1)) + 1
        self.most_per_model = max(1, self.threads - 1)
        self._max_waiting = max_waiting
        self._metrics = metrics
        self._stuck_seconds = stuck_seconds
        self._changed = threading.Condition()
        self._queues: dict[Key, deque[_Job]] = {}
        self._running: Counter[Key] = Counter()
        self._busy: set[_Job] = set()
        self._stuck: Counter[Key] = Counter()
        self._alive = 0
        self._idle = 0
        self._is_closed = False

    async def run(self, key: Key, function: Callable[[RunOptions], T]) -> T:
        """Run a function in a thread.

        Cancelling the caller removes a waiting job from the queue. A running job is terminated through its run options,
        which ONNX Runtime checks between two operators.

        Raises:
            NotReadyError: the model's queue is full, or stuck runs occupy all its threads.
        """
        job = _Job(key, function)
        self._enter(job)
        try:
            result: T = await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            self._abandon(job)
            raise
        return result

    def stuck_runs(self, model: str, version: str) -> int:
        """Return the number of stuck runs of a version."""
        return self._stuck[Key(model, version)]

    def close(self) -> None:
        """Cancel waiting jobs and terminate running jobs, without waiting for the threads."""
        with self._changed:
            self._is_closed = True
            waiting = [job for queue in self._queues.values() for job in queue]
            self._queues.clear()
            for job in self._busy:
                job.options.terminate = True
            self._changed.notify_all()
        for job in waiting:
            job.future.cancel()

    def _enter(self, job: _Job) -> None:
        key = job.key
        with self._changed:
            if self._is_blocked(key):
                raise self._blocked(key)
            room = self._max_waiting + self.most_per_model - self._running[key]
            if self._is_closed or len(self._queues.get(key, ())) >= room:
                raise NotReadyError(f"the queue of requests for {key.model} is full; try again in a moment", 1)
            self._queues.setdefault(key, deque()).append(job)
            self._wake()

    def _is_blocked(self, key: Key) -> bool:
        """Return whether stuck runs occupy all threads that a model may use."""
        stuck = self._stuck[key]
        return stuck >= self.most_per_model or (stuck > 0 and self._stuck.total() >= self.threads)

    def _blocked(self, key: Key) -> NotReadyError:
        return NotReadyError(
            f"version {key.version} of {key.model} is stuck: {self._stuck[key]} of its runs do not end; "
            "restart the API, or roll back to another version",
            RETRY_STUCK_SECONDS,
        )

    @property
    def _most_threads(self) -> int:
        return self.threads + min(self._stuck.total(), self.threads)

    def _wake(self) -> None:
        """Wake a thread, or start one if too few are idle. Requires the lock."""
        waiting = sum(map(len, self._queues.values()))
        if waiting > self._idle and self._alive < self._most_threads:
            self._alive += 1
            threading.Thread(target=self._work, name=f"work-{self._alive}", daemon=True).start()
        else:
            self._changed.notify()

    def _abandon(self, job: _Job) -> None:
        with self._changed:
            queue = self._queues.get(job.key)
            if queue is not None and job in queue:
                queue.remove(job)
                if not queue:
                    del self._queues[job.key]
                return
            if job.is_ended:
                return
            job.options.terminate = True
        asyncio.get_running_loop().call_later(self._stuck_seconds, self._check_stuck, job)

    def _check_stuck(self, job: _Job) -> None:
        """Mark a busy job as stuck and replace its thread, unless too many are replaced already."""
        key = job.key
        with self._changed:
            if job.is_ended or self._is_closed:
                return
            job.is_stuck = True
            self._stuck[key] += 1
            self._show(key)
            self._wake()
            rejected = self._queues.pop(key, ()) if self._is_blocked(key) else ()
            error = self._blocked(key)
        log.error("model_run_stuck", model=key.model, version=key.version, stuck=self._stuck[key])
        for one in rejected:
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(error)

    def _show(self, key: Key) -> None:
        self._metrics.stuck_runs.labels(*key).set(self._stuck[key])

    def _next(self) -> _Job | None:
        """Return a job of the next model in turn, and move that model to the end of the queue."""
        for key in self._queues:
            if self._running[key] < self.most_per_model:
                queue = self._queues.pop(key)
                job = queue.popleft()
                if queue:
                    self._queues[key] = queue
                return job
        return None

    def _work(self) -> None:  # a thread's target
        while (job := self._take()) is not None:
            deliver = job.run()
            is_needed = self._leave(job)  # before delivery, so that the caller's next request finds a free thread
            deliver()
            if not is_needed:
                return
            del job, deliver  # free the request's body

    def _take(self) -> _Job | None:
        """Wait for a job; return None once the pool is closed."""
        with self._changed:
            while (job := self._next()) is None:
                if self._is_closed:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            self._running[job.key] += 1
            self._busy.add(job)
            return job

    def _leave(self, job: _Job) -> bool:
        """Record the end of a job; return whether its thread is still needed."""
        with self._changed:
            job.is_ended = True
            self._busy.discard(job)
            self._running[job.key] -= 1
            if job.is_stuck:
                self._stuck[job.key] -= 1
                self._show(job.key)
                log.info("model_run_stuck_ended", model=job.key.model, version=job.key.version)
            if self._alive > self._most_threads:
                self._alive -= 1
                self._changed.notify()
                return False
            if self._idle:
                self._changed.notify()  # its model may run another job now
            return True

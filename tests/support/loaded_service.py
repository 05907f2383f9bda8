"""The API under load with a database, and checks of the stored predictions afterwards."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psutil
from sqlalchemy import Engine, func, select

from slipway_core.policy import new_key
from slipway_core.tables import predictions
from support.api_process import ApiProcess, api_process
from support.load import Answer, Load, load
from support.waiting import wait_for

# A minute of predictions takes this long on a busy machine; on a quiet one, a few seconds.
DRAIN_SECONDS = 90.0


class Service:
    """The API with a database, which can be restarted any number of times with the same key."""

    def __init__(self, folder: Path, database: str, workers: int) -> None:
        self.folder, self.database, self.workers = folder, database, workers
        self._environment = {"SECRET_KEY": new_key(), "DATABASE_URL": database}

    @contextmanager
    def running(self) -> Iterator[ApiProcess]:
        with api_process(self.folder, "serve", f"--workers={self.workers}", environment=self._environment) as api:
            # Each request uses a new connection, so that every worker has authenticated the administrator.
            statuses = {api.call("GET", "/models").status_code for _ in range(10 * self.workers)}
            assert statuses == {200}
            yield api

    def segments(self) -> list[Path]:
        return sorted((self.folder / "journal").glob("*.journal"))


def children(api: ApiProcess, word: str) -> list[psutil.Process]:
    """Return the service's processes whose command contains a word."""
    found = []
    for child in psutil.Process(api.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a process that ended and was not replaced yet
            if any(word in part for part in child.cmdline()):
                found.append(child)
    return found


def busiest_worker(api: ApiProcess) -> psutil.Process:
    """Return the worker with the most client connections."""
    return max(children(api, "spawn_main"), key=lambda worker: len(worker.net_connections()))


def predicting(api: ApiProcess) -> AbstractContextManager[Load]:
    return load("127.0.0.1", api.port, api.token)


def logged(engine: Engine) -> dict[uuid.UUID, tuple[str, int]]:
    """Return the request's id and the number of rows of each prediction in the table."""
    query = select(predictions.c.id, predictions.c.request_id, predictions.c.rows)
    with engine.connect() as connection:
        return {row.id: (row.request_id, row.rows) for row in connection.execute(query)}


def missing(engine: Engine, loads: Sequence[Load]) -> list[Answer]:
    """Return the acknowledged predictions missing in the table, after a check for duplicates."""
    table = logged(engine)
    requests = [request_id for request_id, _ in table.values()]
    assert len(requests) == len(set(requests)), "a request was logged twice"
    # Besides acknowledged predictions, the table has at most those of requests in progress.
    assert set(requests) <= {request_id for one in loads for request_id in one.sent}
    answers = [answer for one in loads for answer in one.answers]
    assert len(answers) == len({answer.id for answer in answers})
    found = [answer for answer in answers if answer.id in table]
    assert all(table[answer.id] == (answer.request_id, answer.rows) for answer in found)
    return [answer for answer in answers if answer.id not in table]


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(predictions)).scalar_one()


def has_more_than(engine: Engine, number: int) -> bool:
    return count(engine) > number


def drained(service: Service, engine: Engine, running: Load, since: float) -> float:
    """Wait until all acknowledged predictions are in the table; return how many seconds after a time that was."""
    try:
        wait_for(lambda: count(engine) >= len(running.answers), seconds=DRAIN_SECONDS, what="the shipper")
    except AssertionError as error:
        lost = [
            f"{answer.request_id} with {answer.rows} rows at {answer.at:.3f}" for answer in missing(engine, [running])
        ]
        left = [str(path.relative_to(service.folder)) for path in (service.folder / "journal").rglob("*")]
        raise AssertionError(
            f"{error}; {len(lost)} of {len(running.answers)} are missing: {lost[:10]}; in the journal: {left}; the "
            f"log: {(service.folder / 'api.log').read_text()[-20_000:]}"
        ) from error
    seconds = time.monotonic() - since
    wait_for(lambda: missing(engine, [running]) == [], what="the rest")
    return seconds


def tell(running: Load, **figures: object) -> None:
    told = " ".join(f"{name}={value}" for name, value in figures.items())
    print(
        f"answers={len(running.answers)} failures={len(running.failures)} {running.failures[:1]} "
        f"broken={len(running.broken)} "
        f"refused={running.refused} slowest={running.longest_seconds:.2f}s {told}"
    )


def is_replaced(api: ApiProcess, victim: psutil.Process) -> bool:
    workers = children(api, "spawn_main")
    return len(workers) == 2 and victim.pid not in {worker.pid for worker in workers}


def ages(lost: Sequence[Answer], kills: Sequence[float]) -> list[float]:
    """Return how long before the next kill each response was read, in seconds; negative means after it."""
    return [min((kill - one.at for kill in kills), key=abs) for one in lost]


def figures_of(lost: Sequence[Answer], kills: Sequence[float]) -> dict[str, object]:
    """Return the largest ages of lost predictions: since the response was read, and since the id was created."""
    made = [one._replace(at=(one.id.int >> 80) / 1000) for one in lost]
    return {
        "lost": len(lost),
        "read_before_kill": f"{max(ages(lost, kills), default=0) * 1000:.0f}ms",
        "made_before_kill": f"{max(ages(made, kills), default=0) * 1000:.0f}ms",
    }

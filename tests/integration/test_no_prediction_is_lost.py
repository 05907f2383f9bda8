"""No acknowledged prediction is lost and none is logged twice, under load, however the processes around it end.

Run with `-rP` to read the figures.
"""

import os
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Engine, func, select

from slipway_core.database import connect
from slipway_core.policy import new_key
from slipway_core.tables import predictions
from support.api_process import PASSWORD, ApiProcess, api_process
from support.journal import closing
from support.load import Answer, Load, load
from support.postgres import PostgresServer, new_database, stoppable_postgres
from support.waiting import wait_for

OUTAGE_SECONDS = 60.0
DRAIN_SECONDS = 30.0
EXIT_SECONDS = 20.0
LOGIN_SECONDS = 5.0
# What may be lost at a SIGKILL.
LOST_SECONDS = 0.05
ROUNDS = 5
BOTH = pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])


class Service:
    """The API over a database, started again as often as a test likes, always with the same key."""

    def __init__(self, folder: Path, database: str, workers: int) -> None:
        self.folder, self.database, self.workers = folder, database, workers
        self._environment = {"SECRET_KEY": new_key(), "DATABASE_URL": database}

    @contextmanager
    def running(self) -> Iterator[ApiProcess]:
        with api_process(self.folder, "serve", f"--workers={self.workers}", environment=self._environment) as api:
            yield api

    def segments(self) -> list[Path]:
        return sorted((self.folder / "journal").glob("*.journal"))


def children(api: ApiProcess, word: str) -> list[psutil.Process]:
    """Return the processes that the service started and whose command has a word."""
    found = []
    for child in psutil.Process(api.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a dead one that is not replaced yet
            if any(word in part for part in child.cmdline()):
                found.append(child)
    return found


def busiest_worker(api: ApiProcess) -> psutil.Process:
    """Return the worker that most clients are connected to."""
    return max(children(api, "spawn_main"), key=lambda worker: len(worker.net_connections()))


def predicting(api: ApiProcess) -> AbstractContextManager[Load]:
    return load("127.0.0.1", api.port, api.token)


def logged(engine: Engine) -> dict[uuid.UUID, tuple[str, int]]:
    """Return the request's id and the number of rows of each prediction in the table."""
    query = select(predictions.c.id, predictions.c.request_id, predictions.c.rows)
    with engine.connect() as connection:
        return {row.id: (row.request_id, row.rows) for row in connection.execute(query)}


def missing(engine: Engine, loads: Sequence[Load]) -> list[Answer]:
    """Return the acknowledged predictions that are not in the table, once it is sure that none is there twice."""
    table = logged(engine)
    requests = [request_id for request_id, _ in table.values()]
    assert len(requests) == len(set(requests)), "a request was logged twice"
    # Beside what was acknowledged there is at most what was under way.
    assert set(requests) <= {request_id for one in loads for request_id in one.sent}
    answers = [answer for one in loads for answer in one.answers]
    assert len(answers) == len({answer.id for answer in answers})
    found = [answer for answer in answers if answer.id in table]
    assert all(table[answer.id] == (answer.request_id, answer.rows) for answer in found)
    return [answer for answer in answers if answer.id not in table]


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(predictions)).scalar_one()


def drained(engine: Engine, running: Load, since: float) -> float:
    """Wait until all that was acknowledged is in the table; return how many seconds after a time that was."""
    wait_for(lambda: count(engine) >= len(running.answers), seconds=DRAIN_SECONDS, what="the shipper")
    seconds = time.monotonic() - since
    wait_for(lambda: missing(engine, [running]) == [], what="the rest")
    return seconds


def tell(running: Load, **figures: object) -> None:
    told = " ".join(f"{name}={value}" for name, value in figures.items())
    print(
        f"answers={len(running.answers)} failures={len(running.failures)} broken={len(running.broken)} "
        f"refused={running.refused} slowest={running.longest_seconds:.2f}s {told}"
    )


def is_replaced(api: ApiProcess, victim: psutil.Process) -> bool:
    workers = children(api, "spawn_main")
    return len(workers) == 2 and victim.pid not in {worker.pid for worker in workers}


def ages(lost: Sequence[Answer], kills: Sequence[float]) -> list[float]:
    """Return how long before the next kill each answer was read, in seconds; below 0 it was read after it."""
    return [min((kill - one.at for kill in kills), key=abs) for one in lost]


def figures_of(lost: Sequence[Answer], kills: Sequence[float]) -> dict[str, object]:
    """Return the oldest ages of what was lost: since it was read, and since its id was made, which tells when."""
    made = [one._replace(at=(one.id.int >> 80) / 1000) for one in lost]
    return {
        "lost": len(lost),
        "read_before_kill": f"{max(ages(lost, kills), default=0) * 1000:.0f}ms",
        "made_before_kill": f"{max(ages(made, kills), default=0) * 1000:.0f}ms",
    }


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with stoppable_postgres() as server:
        yield server


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("way", ["stopped", "hanging"])
def test_an_outage_of_the_database_fails_and_loses_nothing(
    tmp_path: Path, server: PostgresServer, way: str, workers: int
) -> None:
    end, begin = (server.stop, server.start) if way == "stopped" else (server.freeze, server.thaw)
    service = Service(tmp_path, new_database(server.address), workers)
    with service.running() as api, predicting(api) as running:
        wait_for(lambda: len(running.answers) > 500, what="the load")
        end()
        over_at = time.monotonic() + OUTAGE_SECONDS
        wait_for(lambda: time.monotonic() > over_at, seconds=OUTAGE_SECONDS + 5)
        during = len(running.answers)
        begin()
        back_at = time.monotonic()
        wait_for(lambda: len(running.answers) > during + 500, what="the load after it")
        running.stop()

        with closing(connect(service.database)) as engine:
            tell(running, drain=f"{drained(engine, running, back_at):.1f}s")
        assert running.failures == []
        assert running.broken == []
        assert running.refused == 0


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("way", ["stopped", "hanging"])
def test_a_login_while_the_database_is_away_is_refused_at_once(
    tmp_path: Path, server: PostgresServer, way: str, workers: int
) -> None:
    form = {"username": "admin", "password": PASSWORD}
    with Service(tmp_path, new_database(server.address), workers).running() as api:
        (server.stop if way == "stopped" else server.freeze)()
        told = []
        for _ in range(6):
            began = time.monotonic()
            answer = httpx.post(f"{api.url}/token", data=form, timeout=60)
            told.append((answer.status_code, round(time.monotonic() - began, 2)))
            assert api.call("GET", "/models").status_code == 200
        print(told)

        assert {status for status, _ in told} == {503}
        assert max(seconds for _, seconds in told) < LOGIN_SECONDS


@BOTH
def test_a_termination_in_mid_load_loses_nothing(tmp_path: Path, postgres_url: str, workers: int) -> None:
    service = Service(tmp_path, postgres_url, workers)
    with service.running() as api:
        with predicting(api) as running:
            wait_for(lambda: len(running.answers) > 1_000, what="the load")
            terminated_at, began = time.time(), time.monotonic()
            api.process.send_signal(signal.SIGTERM)
            assert api.process.wait(EXIT_SECONDS) == 0
            exited = time.monotonic() - began
        log = api.log.read_text()
    with closing(connect(postgres_url)) as engine:
        lost = missing(engine, [running])
    late = max((one.seconds for one in running.broken), default=0)
    tell(running, exit=f"{exited:.1f}s", lost=len(lost), segments=len(service.segments()), late=f"{late:.1f}s")

    assert lost == []
    assert service.segments() == []
    assert "Traceback" not in log
    assert running.failures == []
    assert [one for one in running.broken if one.at < terminated_at] == []


@BOTH
@pytest.mark.parametrize("way", ["stopped", "hanging"])
@pytest.mark.slow
def test_what_a_termination_leaves_while_the_database_is_away_is_logged_by_the_next_start(
    tmp_path: Path, server: PostgresServer, way: str, workers: int
) -> None:
    end, begin = (server.stop, server.start) if way == "stopped" else (server.freeze, server.thaw)
    service = Service(tmp_path, new_database(server.address), workers)
    with service.running() as api, predicting(api) as running:
        wait_for(lambda: len(running.answers) > 500, what="the load")
        end()
        before = len(running.answers)
        wait_for(lambda: len(running.answers) > before + 1_000, what="the load without a database")
        began = time.monotonic()
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(EXIT_SECONDS) == 0
        exited = time.monotonic() - began
        assert service.segments()
        log = api.log.read_text()
    begin()
    back_at = time.monotonic()
    with service.running(), closing(connect(service.database)) as engine:
        tell(running, exit=f"{exited:.1f}s", drain=f"{drained(engine, running, back_at):.1f}s")
    assert running.failures == []
    assert "Traceback" not in log


@pytest.mark.slow
@BOTH
def test_a_kill_of_everything_loses_fifty_milliseconds_at_most(tmp_path: Path, postgres_url: str, workers: int) -> None:
    service = Service(tmp_path, postgres_url, workers)
    rounds: list[tuple[Load, float]] = []
    for number in range(ROUNDS):
        with service.running() as api, predicting(api) as running:
            wait_for(lambda n=number, one=running: len(one.answers) > 700 + 137 * n, what="the load")
            rounds.append((running, time.time()))
            os.killpg(api.process.pid, signal.SIGKILL)
            api.process.wait(10)
            running.stop()
    with service.running(), closing(connect(postgres_url)) as engine:
        wait_for(lambda: service.segments() == [], seconds=DRAIN_SECONDS, what="the shipper")
        lost = missing(engine, [running for running, _ in rounds])
    kills = [killed_at for _, killed_at in rounds]
    for running, killed_at in rounds:
        told = set(running.acknowledged)
        tell(running, **figures_of([one for one in lost if one.id in told], [killed_at]))

    assert all(running.failures == [] for running, _ in rounds)
    assert all(one.at >= killed_at for running, killed_at in rounds for one in running.broken)
    assert max(ages(lost, kills), default=0.0) <= LOST_SECONDS


@pytest.mark.slow
def test_a_kill_of_a_worker_loses_fifty_milliseconds_at_most(tmp_path: Path, postgres_url: str) -> None:
    service = Service(tmp_path, postgres_url, 2)
    kills: list[float] = []
    with service.running() as api, predicting(api) as running:
        for number in range(ROUNDS):
            before = len(running.answers)
            wait_for(lambda n=number, b=before: len(running.answers) > b + 700 + 137 * n, seconds=30, what="the load")  # type: ignore[misc]
            victim = busiest_worker(api)
            kills.append(time.time())
            victim.kill()
            wait_for(lambda one=victim: is_replaced(api, one), seconds=30, what="another worker")  # type: ignore[misc]
        running.stop()
        with closing(connect(postgres_url)) as engine:
            wait_for(lambda: service.segments() == [], seconds=DRAIN_SECONDS, what="the shipper")
            lost = missing(engine, [running])
    tell(running, **figures_of(lost, kills))

    assert running.failures == []
    assert all(any(-0.5 < one.at - killed_at < 5 for killed_at in kills) for one in running.broken), running.broken
    assert max(ages(lost, kills), default=0.0) <= LOST_SECONDS


@pytest.mark.slow
def test_a_kill_of_the_shipper_while_it_loads_loses_nothing(tmp_path: Path, postgres_url: str) -> None:
    service = Service(tmp_path, postgres_url, 1)
    with service.running() as api, predicting(api) as running, closing(connect(postgres_url)) as engine:
        for _ in range(3):
            before = count(engine)
            wait_for(lambda b=before: count(engine) > b + 300, seconds=30, what="the shipper")  # type: ignore[misc]
            [shipper] = children(api, "ship")
            shipper.kill()
        running.stop()
        tell(running, drain=f"{drained(engine, running, time.monotonic()):.1f}s")
        assert api.log.read_text().count("shipper_ended") == 3

    assert running.failures == []
    assert running.broken == []

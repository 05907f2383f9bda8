"""No acknowledged prediction is lost and none is logged twice, under load, however the processes around it end.

Run with `-rP` to read the figures.
"""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from slipway_api.accounts.directory import REFRESH_SECONDS
from slipway_core.database import connect
from support.api_process import PASSWORD
from support.journal import closing
from support.load import Load
from support.loaded_service import (
    DRAIN_SECONDS,
    Service,
    ages,
    busiest_worker,
    children,
    count,
    drained,
    figures_of,
    has_more_than,
    is_replaced,
    missing,
    predicting,
    tell,
)
from support.postgres import PostgresServer, new_database, stoppable_postgres
from support.waiting import wait_for

pytestmark = pytest.mark.slow

OUTAGE_SECONDS = 60.0
EXIT_SECONDS = 20.0
LOGIN_SECONDS = 15.0
# What may be lost at a SIGKILL.
LOST_SECONDS = 0.05
ROUNDS = 5
BOTH = pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with stoppable_postgres() as server:
        yield server


@BOTH
@pytest.mark.parametrize("way", ["stopped", "hanging"])
def test_an_outage_of_the_database_fails_and_loses_nothing(
    tmp_path: Path, server: PostgresServer, way: str, workers: int
) -> None:
    end, begin = (server.stop, server.start) if way == "stopped" else (server.freeze, server.thaw)
    service = Service(tmp_path, new_database(server.address), workers)
    with service.running() as api, predicting(api) as running:
        running.wait_for_more(500)
        end()
        over_at = time.monotonic() + OUTAGE_SECONDS
        wait_for(lambda: time.monotonic() > over_at, seconds=OUTAGE_SECONDS + 5)
        begin()
        back_at = time.monotonic()
        running.wait_for_more(500)
        running.stop()

        with closing(connect(service.database)) as engine:
            tell(running, drain=f"{drained(service, engine, running, back_at):.1f}s")
        assert running.failures == []
        assert running.broken == []
        assert running.refused == 0


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
            running.wait_for_more(1_000)
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


@pytest.mark.parametrize(
    ("way", "workers"),
    [("stopped", 1), ("stopped", 2), ("hanging", 1), ("hanging", 2)],
)
def test_records_left_by_a_termination_are_loaded_by_next_start(
    tmp_path: Path, server: PostgresServer, way: str, workers: int
) -> None:
    end, begin = (server.stop, server.start) if way == "stopped" else (server.freeze, server.thaw)
    service = Service(tmp_path, new_database(server.address), workers)
    with service.running() as api, predicting(api) as running:
        running.wait_for_more(500)
        end()
        # Long enough for every part that looks at the database to have found it away, or to hang.
        noticed_at = time.monotonic() + 2 * REFRESH_SECONDS
        wait_for(lambda: time.monotonic() > noticed_at, what="the outage")
        began = time.monotonic()
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(EXIT_SECONDS) == 0
        exited = time.monotonic() - began
        log = api.log.read_text()
    left = len(service.segments())
    begin()
    with service.running(), closing(connect(service.database)) as engine:
        drain = f"{drained(service, engine, running, time.monotonic()):.1f}s"
        tell(running, exit=f"{exited:.1f}s", left=left, drain=drain)

    assert left > 0
    assert running.failures == []
    assert "Traceback" not in log


@BOTH
def test_start_waits_for_a_hanging_shipper_and_loses_nothing(tmp_path: Path, postgres_url: str, workers: int) -> None:
    service = Service(tmp_path, postgres_url, workers)
    with service.running() as api, predicting(api) as running:
        running.wait_for_more(500)
        [shipper] = children(api, "ship")
        shipper.suspend()
        began = time.monotonic()
        api.process.send_signal(signal.SIGTERM)
        wait_for(lambda: running.refused > 0, seconds=3, what="the end of listening")
        assert api.process.poll() is None
        assert api.process.wait(EXIT_SECONDS) == 0
        exited = time.monotonic() - began
    with closing(connect(postgres_url)) as engine:
        lost = missing(engine, [running])
    late = max((one.seconds for one in running.broken), default=0.0)
    tell(running, exit=f"{exited:.1f}s", lost=len(lost), late=f"{late:.1f}s")

    assert lost == []
    assert late < 3


@BOTH
def test_a_kill_of_everything_loses_fifty_milliseconds_at_most(tmp_path: Path, postgres_url: str, workers: int) -> None:
    service = Service(tmp_path, postgres_url, workers)
    rounds: list[tuple[Load, float]] = []
    for number in range(ROUNDS):
        with service.running() as api, predicting(api) as running:
            running.wait_for_more(700 + 137 * number)
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


def test_a_kill_of_a_worker_loses_fifty_milliseconds_at_most(tmp_path: Path, postgres_url: str) -> None:
    service = Service(tmp_path, postgres_url, 2)
    kills: list[float] = []
    with service.running() as api, predicting(api) as running:
        for number in range(ROUNDS):
            running.wait_for_more(700 + 137 * number)
            victim = busiest_worker(api)
            kills.append(time.time())
            victim.kill()
            wait_for(partial(is_replaced, api, victim), seconds=30, what="another worker")
        running.stop()
        with closing(connect(postgres_url)) as engine:
            wait_for(lambda: service.segments() == [], seconds=DRAIN_SECONDS, what="the shipper")
            lost = missing(engine, [running])
    tell(running, **figures_of(lost, kills))

    assert running.failures == []
    assert all(any(-0.5 < one.at - killed_at < 5 for killed_at in kills) for one in running.broken), running.broken
    assert max(ages(lost, kills), default=0.0) <= LOST_SECONDS


def test_a_kill_of_the_shipper_while_it_loads_loses_nothing(tmp_path: Path, postgres_url: str) -> None:
    service = Service(tmp_path, postgres_url, 1)
    with service.running() as api, predicting(api) as running, closing(connect(postgres_url)) as engine:
        for _ in range(3):
            there = count(engine)
            wait_for(partial(has_more_than, engine, there + 300), seconds=30, what="the shipper")
            [shipper] = children(api, "ship")
            shipper.kill()
        running.stop()
        tell(running, drain=f"{drained(service, engine, running, time.monotonic()):.1f}s")
        assert api.log.read_text().count("shipper_ended") == 3

    assert running.failures == []
    assert running.broken == []

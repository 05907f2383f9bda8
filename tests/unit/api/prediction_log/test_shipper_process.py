"""The shipper's loop, and the process that `serve` keeps running."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.typing import EventDict

from slipway_api.errors import NotReadyError
from slipway_api.prediction_log import shipper_process
from slipway_api.prediction_log.shipper_process import (
    LONGEST_BACKOFF_SECONDS,
    POLL_SECONDS,
    ShipperProcess,
    ShippingLoop,
)
from support.waiting import wait_for


class Rounds:
    """Simulate rounds with the given errors, and record the wait after each."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.waits: list[float] = []
        self.loop = ShippingLoop(self.ship_once, lambda: not self.outcomes)

    def ship_once(self) -> int:
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return 1

    def run(self) -> None:
        self.loop.run(lambda: not self.outcomes, self.waits.append)


def test_database_outage_is_retried_with_backoff_and_logged_once(logs: list[EventDict]) -> None:
    rounds = Rounds(None, *[NotReadyError("away")] * 8, None, None)

    rounds.run()

    assert rounds.waits[0] == POLL_SECONDS
    assert rounds.waits[1:9] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert rounds.waits[9:] == [POLL_SECONDS] * 2
    assert [event["event"] for event in logs] == ["shipper_database_away", "shipper_database_back"]


def test_unreadable_folder_is_logged_and_retried(logs: list[EventDict]) -> None:
    rounds = Rounds(PermissionError(13, "Permission denied"), None)

    rounds.run()

    assert rounds.waits == [LONGEST_BACKOFF_SECONDS, POLL_SECONDS]
    assert (logs[0]["event"], logs[0]["reason"]) == ("shipper_journal_unreadable", "Permission denied")


def test_final_rounds_ship_everything() -> None:
    rounds = Rounds(None, None, None)

    rounds.loop.drain()

    assert rounds.outcomes == []


def test_final_round_leaves_records_if_database_is_unreachable() -> None:
    rounds = Rounds(NotReadyError("away"), None)

    rounds.loop.drain()

    assert rounds.outcomes == [None]


Start = Callable[[str], ShipperProcess]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a process whose program appends its arguments to `runs`, one line per start."""
    monkeypatch.setattr(shipper_process, "FIRST_RESTART_SECONDS", 0.01)
    started = []

    def start(program: str) -> ShipperProcess:
        noting = f"import os, signal, sys, time; open({str(tmp_path / 'runs')!r}, 'a').write(sys.argv[1] + chr(10))\n"
        process = ShipperProcess(tmp_path, [sys.executable, "-c", noting + program])
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


def runs(folder: Path) -> list[str]:
    """Return the arguments of each start."""
    file = folder / "runs"
    return file.read_text().splitlines() if file.exists() else []


def test_exited_shipper_is_restarted(tmp_path: Path, start: Start, logs: list[EventDict]) -> None:
    start("sys.exit(3)")

    wait_for(lambda: len(runs(tmp_path)) >= 2, what="the second start")

    assert logs[0]["event"] == "shipper_ended"
    assert logs[0]["exit_code"] == 3


def test_shipper_that_cannot_be_started_is_tried_again(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, logs: list[EventDict]
) -> None:
    popen, failures = subprocess.Popen, [OSError(14, "Bad address"), OSError(12, "Cannot allocate memory")]

    def failing(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return popen(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", failing)
    start("time.sleep(60)")

    wait_for(lambda: runs(tmp_path), what="the third attempt")

    assert [(event["event"], event["reason"]) for event in logs] == [
        ("shipper_not_started", "Bad address"),
        ("shipper_not_started", "Cannot allocate memory"),
    ]


def test_clean_exit_of_the_shipper_completes_the_stop(tmp_path: Path, start: Start) -> None:
    (tmp_path / "left.journal").touch()
    process = start(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        f"open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "time.sleep(60)"
    )
    wait_for((tmp_path / "ready").exists, what="the start")

    process.stop()

    assert process.pid is None
    assert [run.partition("=")[0] for run in runs(tmp_path)] == ["--parent"]


def test_stop_ships_records_that_a_shipper_left(tmp_path: Path, start: Start) -> None:
    (tmp_path / "left.journal").touch()
    process = start("time.sleep(0 if sys.argv[1] == '--once' else 60)")
    wait_for(lambda: runs(tmp_path), what="the start")

    process.stop()

    assert [run.partition("=")[0] for run in runs(tmp_path)] == ["--parent", "--once"]


def test_stop_without_remaining_records_starts_no_shipper(tmp_path: Path, start: Start) -> None:
    process = start("time.sleep(60)")
    wait_for(lambda: runs(tmp_path), what="the start")

    process.stop()

    assert [run.partition("=")[0] for run in runs(tmp_path)] == ["--parent"]

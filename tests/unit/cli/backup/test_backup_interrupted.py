"""`slipway backup` and `slipway restore`, interrupted by a signal or by the end of their terminal."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest

from support.backups import write_backup
from support.docker import FakeDocker
from support.servers import end_group
from support.waiting import wait_for

pytestmark = pytest.mark.slow

FILE = Path("backup.tar.gz")
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)


@contextmanager
def working(docker: FakeDocker, call: str, *arguments: str, stderr: int = PIPE) -> Iterator[subprocess.Popen[str]]:
    """Run a command as a process, and enter the block when it makes a call of Docker."""
    command = [sys.executable, "-m", "slipway_cli.cli", *arguments]
    with subprocess.Popen(command, stderr=stderr, stdin=DEVNULL, text=True, start_new_session=True) as process:
        try:
            wait_for(lambda: any(one.startswith(call) for one in docker.calls()), seconds=60, what=call)
            yield process
        finally:
            end_group(process)


@SIGNALS
def test_interrupted_backup_leaves_no_partial_file(docker: FakeDocker, number: int) -> None:
    FILE.write_text("the one before")
    docker.fail("exec", "hang")

    with working(docker, "exec", "backup", "--force", str(FILE)) as process:
        process.send_signal(number)
        _, error = process.communicate(timeout=60)

    said = "Error: the backup was interrupted; the incomplete file was removed\n"
    assert (process.returncode, error) == (128 + number, said)
    assert [path.name for path in sorted(docker.project.iterdir())] == ["backup.tar.gz", "docker-compose.yml"]
    assert FILE.read_text() == "the one before"


@SIGNALS
def test_interrupted_restore_restarts_the_stopped_services(docker: FakeDocker, number: int) -> None:
    write_backup(FILE)
    docker.fail("exec", "hang")

    with working(docker, "exec", "restore", "--yes", str(FILE)) as process:
        process.send_signal(number)
        _, error = process.communicate(timeout=60)

    assert process.returncode == 128 + number
    assert error == "Error: the restore was interrupted; the databases are unchanged\n"
    assert docker.running() == {"api", "minio", "mlflow", "postgres"}


def test_services_finish_stopping_before_they_restart(docker: FakeDocker) -> None:
    write_backup(FILE)
    docker.fail("stop", "wait")

    with working(docker, "stop", "restore", "--yes", str(FILE)) as process:
        process.send_signal(signal.SIGTERM)
        docker.open_gate()
        process.communicate(timeout=60)

    assert process.returncode == 128 + signal.SIGTERM
    assert [call.split()[0] for call in docker.calls()][-2:] == ["stop", "up"]
    assert docker.running() == {"api", "minio", "mlflow", "postgres"}


def test_restore_after_hangup_restarts_the_stopped_services(docker: FakeDocker) -> None:
    write_backup(FILE)
    docker.fail("exec", "hang")
    person, terminal = pty.openpty()

    with working(docker, "exec", "restore", "--yes", str(FILE), stderr=terminal) as process:
        os.close(terminal)
        os.close(person)
        process.send_signal(signal.SIGHUP)
        process.wait(60)

    assert process.returncode == 128 + signal.SIGHUP
    assert docker.running() == {"api", "minio", "mlflow", "postgres"}

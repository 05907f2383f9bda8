"""Child processes end with their parent, and the next start ends the orphans of an earlier one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from slipway_cli.embedded.guardian_client import GuardianClient, end_orphans
from support.waiting import wait_for

# A parent that starts a guarded shell, which starts a child of its own, and then waits to be killed.
PARENT = """
import os, sys
from pathlib import Path
from slipway_cli.embedded.guardian_client import GuardianClient
from slipway_cli.embedded.process import ManagedProcess
folder = Path(sys.argv[1])
guard = GuardianClient(folder / "processes")
guard.start()
environment = {"PATH": os.environ["PATH"], "SLIPWAY_CACHE_DIR": str(folder / "cache")}
ManagedProcess("The work", ["sh", "-c", sys.argv[2]], environment, folder, folder / "log", guard).start()
print(guard._process.pid, flush=True)
sys.stdin.read()
"""
FAMILY = "sleep 600 & echo $! > child.new; mv child.new child; wait"
STUBBORN = "trap '' TERM; sleep 600 & echo $! > child.new; mv child.new child; wait"


class Family:
    """A parent with its guardian, child and grandchild."""

    def __init__(self, folder: Path, line: str) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(folder), line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.parent.stdout is not None
        self.guardian = psutil.Process(int(self.parent.stdout.readline()))
        wait_for((folder / "child").exists, what="the grandchild")
        self.grandchild = psutil.Process(int((folder / "child").read_text()))
        self.child = psutil.Process(os.getpgid(self.grandchild.pid))

    def kill(self) -> None:
        self.parent.kill()
        self.parent.communicate()

    def running(self) -> list[psutil.Process]:
        """Return the child and grandchild that still run."""
        return [one for one in (self.child, self.grandchild) if is_running(one)]


def is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    family = Family(tmp_path, FAMILY)
    yield family
    family.kill()
    for process in family.running():
        process.kill()


def test_children_end_when_their_parent_is_killed(family: Family) -> None:
    family.kill()

    wait_for(lambda: not family.running(), what="the end of the children")
    wait_for(lambda: not is_running(family.guardian), what="the end of the guardian")


@pytest.mark.slow
def test_children_that_ignore_sigterm_are_killed(tmp_path: Path) -> None:
    family = Family(tmp_path, STUBBORN)

    family.kill()

    wait_for(lambda: not family.running(), seconds=20, what="the end of the children")


def test_orphans_of_a_killed_guardian_are_ended_later(family: Family, tmp_path: Path) -> None:
    family.guardian.kill()
    wait_for(lambda: not is_running(family.guardian), what="the end of the guardian")
    family.kill()
    assert len(family.running()) == 2

    assert end_orphans(tmp_path / "processes", tmp_path) == 2

    wait_for(lambda: not family.running(), what="the end of the orphans")
    assert not (tmp_path / "processes").exists()


def test_processes_of_another_folder_are_left_alone(family: Family, tmp_path: Path) -> None:
    assert end_orphans(tmp_path / "processes", tmp_path / "other") == 0
    assert len(family.running()) == 2


@pytest.mark.parametrize("content", [None, "", "what\n", "999999999\n", "1\n"])
def test_a_record_without_orphans_ends_nothing(tmp_path: Path, content: str | None) -> None:
    record = tmp_path / "processes"
    if content is not None:
        record.write_text(content)

    assert end_orphans(record, tmp_path) == 0


def test_a_closed_guard_leaves_no_process_and_no_record(tmp_path: Path) -> None:
    guard = GuardianClient(tmp_path / "processes")
    guard.start()
    work = subprocess.Popen(["sleep", "600"], start_new_session=True)
    guard.add(work.pid)
    assert (tmp_path / "processes").read_text() == f"{work.pid}\n"
    work.kill()
    work.wait()
    guard.remove(work.pid)

    guard.close()

    assert not (tmp_path / "processes").exists()

"""A process of the embedded stack: its whole group ends, it restarts, and its log is rotated."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from slipway_cli.embedded import process as process_module
from slipway_cli.embedded.process import ManagedProcess
from support.waiting import wait_for

ENVIRONMENT = {"PATH": os.environ["PATH"]}
# A group leader that writes the id of its child to a file and waits for it.
FAMILY = "sleep 600 & echo $! > child.new; mv child.new child; wait"
# As above, but the child ignores SIGTERM.
STUBBORN_CHILD = "(trap '' TERM; exec sleep 600) & echo $! > child.new; mv child.new child; wait"
# As above, but both ignore SIGTERM.
STUBBORN = f"trap '' TERM; {FAMILY}"


class Shell:
    """Runs lines of shell as processes in a folder, and ends them after the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "work.log"
        self._made: list[ManagedProcess] = []

    def __call__(self, line: str, *, log: bool = True) -> ManagedProcess:
        process = ManagedProcess("The work", ["sh", "-c", line], ENVIRONMENT, self.folder, self.log if log else None)
        self._made.append(process)
        return process

    def child(self) -> psutil.Process:
        """Return the child whose id a leader has written to a file."""
        file = self.folder / "child"
        wait_for(file.exists, what="the child")
        return psutil.Process(int(file.read_text()))

    def end(self) -> None:
        for process in self._made:
            process.kill()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.end()


def finished(process: ManagedProcess) -> int:
    """Wait for a process to end by itself and return its exit code."""
    wait_for(lambda: process.exit_code is not None, what="the end")
    assert process.exit_code is not None
    return process.exit_code


def is_gone(process: psutil.Process) -> bool:
    # A zombie has ended.
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_process_before_its_start_can_be_ended(shell: Shell) -> None:
    process = shell("exit 3")

    process.terminate()
    process.kill()
    process.wait_ended(time.monotonic())

    assert process.exit_code is None
    assert process.log_tail() == ""


@pytest.mark.parametrize("code", [0, 3])
def test_exit_code_is_set_after_the_process_ended(shell: Shell, code: int) -> None:
    process = shell(f"exit {code}")

    process.start()

    assert finished(process) == code


def test_running_process_has_no_exit_code(shell: Shell) -> None:
    process = shell("sleep 600")

    process.start()

    assert process.exit_code is None


def test_process_has_its_folder_its_environment_and_no_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_OURS", "secret")
    process = shell('pwd; echo "[$A_SECRET_OF_OURS]"; cat')

    process.start()

    assert finished(process) == 0
    assert shell.log.read_text() == f"{shell.folder}\n[]\n"


def test_process_has_a_separate_group(shell: Shell) -> None:
    process = shell(FAMILY)

    process.start()

    group = os.getpgid(shell.child().pid)
    assert group != os.getpgid(0)


@pytest.mark.parametrize(
    ("line", "is_forced", "number"),
    [(FAMILY, False, signal.SIGTERM), (STUBBORN_CHILD, False, signal.SIGTERM), (STUBBORN_CHILD, True, signal.SIGKILL)],
)
def test_process_ends_with_its_children(shell: Shell, line: str, is_forced: bool, number: int) -> None:
    process = shell(line)
    process.start()
    child = shell.child()

    if is_forced:
        process.kill()
    else:
        process.terminate()
        process.wait_ended(time.monotonic() + 10)

    assert process.exit_code == -number
    wait_for(lambda: is_gone(child), what="the child's end")


def test_process_that_ignores_sigterm_is_killed_at_the_deadline(shell: Shell) -> None:
    process = shell(STUBBORN)
    process.start()
    child = shell.child()
    process.terminate()
    before = time.monotonic()

    process.wait_ended(before + 0.2)

    assert time.monotonic() - before >= 0.2
    assert process.exit_code == -signal.SIGKILL
    wait_for(lambda: is_gone(child), what="the child's end")


def test_children_of_a_killed_leader_end(shell: Shell) -> None:
    process = shell(FAMILY)
    process.start()
    child = shell.child()
    leader = child.parent()
    assert leader is not None
    leader.kill()

    assert finished(process) == -signal.SIGKILL

    wait_for(lambda: is_gone(child), what="the child's end")


def test_ended_process_is_not_signalled(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    process = shell("true")
    process.start()
    finished(process)
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _number: signalled.append(group))

    process.terminate()
    process.kill()
    process.wait_ended(time.monotonic())

    assert signalled == []


def test_restart_ends_processes_of_the_previous_start(shell: Shell) -> None:
    process = shell(FAMILY)
    process.start()
    first = shell.child()
    (shell.folder / "child").unlink()

    process.start()

    wait_for(lambda: is_gone(first), what="the end of the first")
    assert not is_gone(shell.child())
    assert process.exit_code is None


def test_ended_process_can_be_restarted(shell: Shell) -> None:
    process = shell("echo started")
    process.start()
    finished(process)

    process.start()

    finished(process)
    assert shell.log.read_text() == "started\nstarted\n"


def test_log_has_output_and_errors(shell: Shell) -> None:
    process = shell("echo out; echo err >&2")

    process.start()

    finished(process)
    assert shell.log.read_text() == "out\nerr\n"


def test_process_without_a_log_uses_our_output(shell: Shell, capfd: pytest.CaptureFixture[str]) -> None:
    process = shell("echo out; echo err >&2", log=False)

    process.start()

    finished(process)
    assert capfd.readouterr() == ("out\n", "err\n")
    assert process.log_tail() == ""


@pytest.mark.parametrize(("limit", "rotated"), [(3, True), (4, False)])
def test_log_over_its_limit_is_rotated_at_a_start(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, limit: int, rotated: bool
) -> None:
    monkeypatch.setattr(process_module, "LOG_LIMIT_BYTES", limit)
    shell.log.write_text("old\n")
    process = shell("echo new")

    process.start()

    finished(process)
    aside = shell.folder / "work.log.1"
    assert shell.log.read_text() == ("new\n" if rotated else "old\nnew\n")
    assert aside.exists() is rotated


def test_only_one_rotated_log_is_kept(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "LOG_LIMIT_BYTES", 1)
    (shell.folder / "work.log.1").write_text("oldest\n")
    shell.log.write_text("old\n")
    process = shell("echo new")

    process.start()

    finished(process)
    assert {path.name: path.read_text() for path in shell.folder.glob("work.log*")} == {
        "work.log": "new\n",
        "work.log.1": "old\n",
    }


def test_last_words_are_the_last_lines_of_the_log(shell: Shell) -> None:
    shell.log.write_text("".join(f"line {number}\n" for number in range(100)))

    assert shell("true").log_tail().splitlines() == [f"line {number}" for number in range(92, 100)]


def test_last_words_of_long_lines_are_limited(shell: Shell) -> None:
    shell.log.write_bytes(b"\xff" + b"x" * 100_000 + b"end\n")

    words = shell("true").log_tail()

    assert words.endswith("xend")
    assert len(words) <= process_module.TAIL_BYTES


def test_invalid_utf8_does_not_hide_the_last_line(shell: Shell) -> None:
    shell.log.write_bytes(b"\xff\xfe broken\nend\n")

    assert shell("true").log_tail().endswith("broken\nend")


def test_error_is_the_last_line_of_the_log(shell: Shell) -> None:
    shell.log.write_text("Error: an older one\nstarting\nError: the bucket is missing: make it\n")

    assert shell("true").error() == "the bucket is missing: make it"


@pytest.mark.parametrize("log", ["", "Error: once\nserving on port 5000\n", "ValueError: Error: x\n"])
def test_log_without_an_error_line_yields_no_error(shell: Shell, log: str) -> None:
    shell.log.write_text(log)

    assert shell("true").error() == ""


def test_missing_command_raises_and_can_be_ended(shell: Shell) -> None:
    process = ManagedProcess("The work", ["no-such-command-here"], ENVIRONMENT, shell.folder, shell.log)

    with pytest.raises(FileNotFoundError):
        process.start()

    process.kill()
    assert process.exit_code is None

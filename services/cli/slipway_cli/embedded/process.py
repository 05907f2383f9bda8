"""A process of the embedded stack, with all processes that it starts."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway_cli.embedded.guardian_client import GuardianClient
from slipway_core.program import last_error

LOG_LIMIT_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 4096


class ManagedProcess:
    """A command in its own process group, so that the whole group can be ended and does not receive Ctrl-C."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path | None,
        guard: GuardianClient | None = None,
    ) -> None:
        """Define a process; `start` starts it. Without a log file, it writes to the output of `slipway up`.

        With a guard, it ends when this process exits, even by SIGKILL.
        """
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._swept = False

    def start(self) -> None:
        """Start or restart the command."""
        self.kill()
        output = None
        if self.log is not None:
            if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
            output = self.log.open("ab")
        try:
            self._swept = False
            self._process = subprocess.Popen(  # noqa: S603  # commands are our own, argument by argument
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )
            if self._guard is not None:
                self._guard.add(self._process.pid)
        finally:
            if output is not None:
                output.close()

    @property
    def exit_code(self) -> int | None:
        """The exit code if the command has exited, otherwise None. Remaining processes of its group are ended, too."""
        code = None if self._process is None else self._process.poll()
        if code is not None and not self._swept:
            self._signal(signal.SIGKILL)
            # From now on, the system may reuse the group's number.
            self._swept = True
            if self._guard is not None and self._process is not None:
                self._guard.remove(self._process.pid)
        return code

    def terminate(self) -> None:
        """Send SIGTERM to every process of the group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to every process of the group."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def wait_ended(self, deadline: float) -> None:
        """Wait until the command has exited; at the deadline (monotonic seconds), kill it."""
        while self._process is not None and self.exit_code is None:
            if time.monotonic() >= deadline:
                self.kill()
            time.sleep(0.02)

    def log_tail(self) -> str:
        """Return the end of the log."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-8:])

    def error(self) -> str:
        """Return the error at the end of the log if the command ended with a Slipway error; otherwise an empty text."""
        return last_error(self.log_tail())

    def _signal(self, number: int) -> None:
        if self._process is None or self._swept:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

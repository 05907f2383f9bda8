"""End the embedded stack's processes when `slipway up` exits, even if it is killed."""

import os
import subprocess
import sys
from pathlib import Path

from slipway_cli.embedded import guardian


class GuardianClient:
    """Registers process groups with the guardian process, and records them for the next start.

    The record is used if the guardian was killed, too.
    """

    def __init__(self, record: Path) -> None:
        """Set the file that records the groups, one per line. Nothing is started."""
        self._record = record
        self._groups: set[int] = set()
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the guardian in its own session, so that Ctrl-C does not reach it."""
        # Isolated: it does not need the environment, which contains secrets.
        self._process = subprocess.Popen(  # noqa: S603  # our own file
            [sys.executable, "-I", "-S", guardian.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            text=True,
            start_new_session=True,
        )

    def add(self, group: int) -> None:
        """Register a process group to be ended with this process."""
        self._groups.add(group)
        self._keep(f"+{group}")

    def remove(self, group: int) -> None:
        """Unregister a group whose processes have ended, because the system may reuse its number."""
        if group in self._groups:
            self._groups.remove(group)
            self._keep(f"-{group}")

    def close(self) -> None:
        """End the remaining groups and the guardian."""
        if self._process is not None:
            # If the guardian was killed, the pipe is broken.
            try:
                self._process.communicate(timeout=2 * guardian.STOP_SECONDS)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
            self._process = None
        self._record.unlink(missing_ok=True)

    def _keep(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._process.wait()
        self._record.write_text("".join(f"{group}\n" for group in sorted(self._groups)), encoding="utf-8")


def end_orphans(record: Path, home: Path) -> int:
    """End the processes that an earlier stack of this folder left behind, and return their number.

    Call this while holding the folder's lock, so that no stack is running. A process is an orphan if it is in a
    recorded group, belongs to this account, and has the folder in its environment, which requires Linux's /proc.
    """
    try:
        groups = {int(line) for line in record.read_text(encoding="utf-8").split()}
    except (OSError, ValueError):
        return 0
    orphans = [(pid, group) for pid, group in _processes() if group in groups and _is_ours(pid, home)]
    guardian.end_groups({group for _, group in orphans})
    record.unlink(missing_ok=True)
    return len(orphans)


def _processes() -> list[tuple[int, int]]:
    """Return each process of this machine with its group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(entry.name)
            found.append((pid, os.getpgid(pid)))
        except (OSError, ValueError):
            continue  # it has ended
    return found


def _is_ours(pid: int, home: Path) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"SLIPWAY_CACHE_DIR={home / 'cache'}".encode() in variables

"""End process groups when the process that started them has exited.

Runs as a script and uses only the standard library. Standard input is a pipe from `slipway up`: `+GROUP` adds a process
group, `-GROUP` removes it. The pipe closes when `slipway up` exits for any reason, including SIGKILL. The guardian then
ends the remaining groups. A pipe works on Linux and macOS, and a group includes the children of children.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

STOP_SECONDS = 10.0
POLL_SECONDS = 0.05


def end_groups(groups: Iterable[int], seconds: float = STOP_SECONDS) -> None:
    """Send SIGTERM to process groups; after `seconds`, send SIGKILL to the remaining ones."""
    left = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = {group for group in left if _signal(group, 0)}
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Send a signal to a group; return whether the group has a process that can receive it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    """Read standard input until it closes, then end the remaining groups."""
    groups: set[int] = set()
    for line in sys.stdin:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    end_groups(groups)


if __name__ == "__main__":
    main()

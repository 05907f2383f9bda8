"""Calls that may take longer than a person waits."""

import threading
from collections.abc import Callable


def within(seconds: float, call: Callable[[], object]) -> None:
    """Make a call whose own timeouts are long, and go on without it when the time is up.

    Raises:
        TimeoutError: it has not ended by then. What it raises otherwise is raised here.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # raised again where somebody waits for it
            raised.append(error)

    # A daemon: it does not keep the command from ending.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if raised:
        raise raised[0]

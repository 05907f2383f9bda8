"""Limit the time of calls that may take long."""

import threading
from collections.abc import Callable


def within(seconds: float, call: Callable[[], object]) -> None:
    """Run a call whose own timeouts are long, and stop waiting for it after `seconds`.

    Raises:
        TimeoutError: the call has not ended in time. Other exceptions of the call are raised, too.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # raised again in the waiting thread
            raised.append(error)

    # A daemon thread, so that a blocked call does not prevent the exit.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if raised:
        raise raised[0]

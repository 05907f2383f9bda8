"""The entry point of `slipway-api` and `python -m slipway_api`."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from slipway_core.startup import quick_imports


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the service and run it."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["ship"]:
        # The shipper's process needs neither the web framework nor the model runtime.
        from slipway_api.prediction_log.shipper_process import main as ship  # noqa: PLC0415

        ship(words[1:])
        return
    # httpx and structlog import rich where it is installed, for a command line and for colored tracebacks.
    with quick_imports("rich"):
        from slipway_api.main import main as run  # noqa: PLC0415

    run(arguments)


def program() -> NoReturn:
    """Run the command as a process, and exit without waiting for its threads.

    A thread may be blocked by an unresponsive database. All data has been written before this exit.
    """
    code: int | str | None = os.EX_OK
    try:
        main()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else os.EX_OK)


if __name__ == "__main__":
    program()

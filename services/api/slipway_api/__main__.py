"""The entry point of `slipway-api` and `python -m slipway_api`."""

import gc
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the service without the garbage collector, which would find nothing in it, and run it."""
    gc.disable()
    from slipway_api.main import main as run  # noqa: PLC0415

    # What was imported stays: later collections need not walk it.
    gc.freeze()
    gc.enable()
    run(arguments)


if __name__ == "__main__":
    main()

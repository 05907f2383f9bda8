"""The entry point of `slipway-api` and `python -m slipway_api`."""

from collections.abc import Sequence

from slipway_core.startup import quick_imports


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the service and run it."""
    # httpx and structlog import rich where it is installed, for a command line and for coloured tracebacks.
    with quick_imports("rich"):
        from slipway_api.main import main as run  # noqa: PLC0415

    run(arguments)


if __name__ == "__main__":
    main()

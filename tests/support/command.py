"""Run a Slipway command in this process, and capture its exit code, output and errors."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest.mock import patch

import structlog


@dataclass(frozen=True)
class Ended:
    """The result of a command."""

    exit_code: int
    output: str
    error: str


def run(main: Callable[[], None], *arguments: str, given: str = "") -> Ended:
    """Call a command's `main` with arguments; `given` is its standard input, which is not a terminal.

    An exception that `main` does not handle would be a traceback for a user, and propagates.
    """
    output, error = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        logging_kept(),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(error),
        patch.object(sys, "argv", ["command", *arguments]),
        patch.object(sys, "stdin", io.StringIO(given)),
        # Wide enough that no table or sentence is wrapped.
        patch.dict(os.environ, {"COLUMNS": "300", "TERMINAL_WIDTH": "300"}),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert code is None or isinstance(code, int), code
    return Ended(code or 0, output.getvalue(), error.getvalue())


@contextlib.contextmanager
def logging_kept() -> Iterator[None]:
    """Restore the configuration of logging: a command routes it to a stream that is closed afterwards."""
    root = logging.getLogger()
    handlers, level, config, configured = root.handlers, root.level, structlog.get_config(), structlog.is_configured()
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level
        structlog.configure(**config)
        if not configured:
            structlog.reset_defaults()

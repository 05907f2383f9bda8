"""Run a command of ours in this process, as a terminal would see it: exit code, output and errors."""

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
    """What a command left behind."""

    exit_code: int
    output: str
    error: str


def run(main: Callable[[], None], *arguments: str, given: str = "") -> Ended:
    """Call a command's `main` with arguments; `given` is its standard input, which is no terminal.

    An exception that `main` lets through is a traceback to a person, and comes through here, too.
    """
    output, error = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        _logging_kept(),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(error),
        patch.object(sys, "argv", ["command", *arguments]),
        patch.object(sys, "stdin", io.StringIO(given)),
        # Wide enough that no table or sentence is broken.
        patch.dict(os.environ, {"COLUMNS": "300", "TERMINAL_WIDTH": "300"}),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert code is None or isinstance(code, int), code
    return Ended(code or 0, output.getvalue(), error.getvalue())


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Put logging back as it was: a command routes it to a standard error that is gone afterwards."""
    root = logging.getLogger()
    handlers, level, config, configured = root.handlers, root.level, structlog.get_config(), structlog.is_configured()
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level
        structlog.configure(**config)
        if not configured:
            structlog.reset_defaults()

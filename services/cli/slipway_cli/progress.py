"""What long work tells on standard error: how far it is, and errors; a terminal that is gone does not stop it."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from slipway_cli.output import echo
from slipway_core.program import ERROR_PREFIX
from slipway_core.terminal import SafeConsole


class Bar:
    """A line that tells how far the work is; on a terminal alone."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Show a new part of the work."""
        self._progress.reset(self._task, total=total_bytes, description=what)

    def at(self, done_bytes: int) -> None:
        """Show how much of it is done."""
        self._progress.update(self._task, completed=done_bytes)


class HangupSafeStream(io.TextIOBase):
    """Standard error as it is now; once its terminal is gone, what is written is lost, and the work goes on."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    @property
    def encoding(self) -> str:  # type: ignore[override]  # what bars are drawn with depends on it
        """How texts are encoded."""
        return self._stream.encoding

    def write(self, text: str, /) -> int:
        """Write a text, if anybody is there."""
        try:
            self._stream.write(text)
        except OSError:
            self._let_go()
        return len(text)

    def flush(self) -> None:
        """Let what was written be seen."""
        try:
            self._stream.flush()
        except OSError:
            self._let_go()

    def isatty(self) -> bool:
        """Tell whether somebody may look at it."""
        return self._stream.isatty()

    def _let_go(self) -> None:
        # What the stream still holds must go somewhere, or the interpreter's end fails for it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def print_error(sentence: str) -> None:
    """Print an error, if anybody is there."""
    echo(f"{ERROR_PREFIX}{sentence}", file=_standard_error())


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """Show a bar until the block ends; where nobody looks, nothing."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    # Progress is for a terminal, and not part of what is printed.
    console = SafeConsole(file=_standard_error())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress)


def _standard_error() -> IO[str]:
    return cast("IO[str]", HangupSafeStream())

"""Show progress and errors on standard error. A closed terminal does not stop the work."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from slipway_core import program
from slipway_core.terminal import SafeConsole


class Bar:
    """A progress bar, shown on a terminal only."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Start a new part of the work."""
        self._progress.reset(self._task, total=total_bytes, description=what)

    def at(self, done_bytes: int) -> None:
        """Set how many bytes are done."""
        self._progress.update(self._task, completed=done_bytes)


class HangupSafeStream(io.TextIOBase):
    """Standard error; output is discarded once its terminal has closed."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    @property
    def encoding(self) -> str:  # type: ignore[override]  # determines the characters of the bars
        """The encoding of the stream."""
        return self._stream.encoding

    def write(self, text: str, /) -> int:
        """Write a text, or discard it if the terminal has closed."""
        try:
            self._stream.write(text)
        except OSError:
            self._let_go()
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        try:
            self._stream.flush()
        except OSError:
            self._let_go()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def _let_go(self) -> None:
        # The stream's buffer must go somewhere, or the interpreter's exit fails.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def print_error(sentence: str) -> None:
    """Print an error, or discard it if the terminal has closed."""
    program.print_error(sentence, _standard_error())


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """Show a progress bar until the block ends; without a terminal, show nothing."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    # Progress goes to the terminal only, never into the output.
    console = SafeConsole(file=_standard_error())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress)


def _standard_error() -> IO[str]:
    return cast("IO[str]", HangupSafeStream())

"""Turn an expected error into one line on standard error and exit code 1."""

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from slipway_core.errors import RegistryUnavailableError, SlipwayError
from slipway_core.printable import printable

# The prefix of the error messages of every Slipway program.
ERROR_PREFIX = "Error: "
REGISTRY_HINT = "check that the MLflow server runs, and MLFLOW_TRACKING_URI; `slipway doctor` finds the cause"


# Characters of Slipway's own texts, for a terminal whose encoding lacks them.
_PLAIN = {"✓": "+", "✗": "x", "→": "->", "–": "-", "…": "...", "±": "+-"}
SUBSTITUTE = "slipway.substitute"


def _substitute(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace characters that an encoding lacks; escape those that have no plain form."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    if (plain := _PLAIN.get(error.object[error.start])) is not None:
        return plain, error.start + 1
    return codecs.backslashreplace_errors(error)


codecs.register_error(SUBSTITUTE, _substitute)


def print_error(sentence: str, file: IO[str] | None = None) -> None:
    """Print an error, without escape sequences; on standard error unless a file is given."""
    print(printable(f"{ERROR_PREFIX}{sentence}"), file=file or sys.stderr)


def last_error(output: str) -> str:
    """Return the error in the last line of a program's output; empty if the line is not an error."""
    last = output.strip().rpartition("\n")[2]
    return last.removeprefix(ERROR_PREFIX) if last.startswith(ERROR_PREFIX) else ""


@contextmanager
def exit_on_error(*, show_traceback: bool = False, hint_at_registry: bool = False) -> Iterator[None]:
    """End the program with exit code 1 and one sentence if the block raises a SlipwayError.

    Standard output and standard error then replace characters that their encodings lack.

    Args:
        show_traceback: raise the error instead, for `--debug`.
        hint_at_registry: add a hint if the model registry cannot be reached.

    Raises:
        SystemExit: the block raised a SlipwayError.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SUBSTITUTE)
    try:
        yield
    except SlipwayError as error:
        if show_traceback:
            raise
        hint = f": {REGISTRY_HINT}" if hint_at_registry and isinstance(error, RegistryUnavailableError) else ""
        print_error(f"{error}{hint}")
        raise SystemExit(1) from error

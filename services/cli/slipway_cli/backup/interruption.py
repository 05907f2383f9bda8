"""Handle signals during a long operation: once, in order, and never in the middle of a critical step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from slipway_core.errors import SlipwayError

# Ctrl-C, a system shutdown, a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How shells encode the signal that ended a command.
SIGNALLED = 128


@contextmanager
def interruptible(report: Callable[[str], None], interrupted: str) -> Iterator[None]:
    """Let a signal interrupt the block, then exit with one sentence and the code 128 + its number.

    Args:
        report: receives the sentence: the message of the SlipwayError if the block raises one.
        interrupted: the sentence otherwise.

    Raises:
        SystemExit: a signal interrupted the block.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        # A closed terminal sends SIGHUP twice, from the kernel and from the shell, and users press Ctrl-C twice. The
        # second signal must not interrupt the cleanup.
        if not received:
            received.append(number)
            raise KeyboardInterrupt

    with _handled_by(interrupt):
        try:
            yield
        # An interrupted prompt raises Abort.
        except (KeyboardInterrupt, typer.Abort, SlipwayError) as error:
            if not received:
                raise
            report(str(error) or interrupted)
            raise SystemExit(SIGNALLED + received[0]) from error


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Handle signals only after the block, which must not be interrupted; if the block fails, its error is raised."""
    received: list[int] = []
    with _handled_by(lambda number, _frame: received.append(number)):
        yield
    if received:
        signal.raise_signal(received[0])


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals inside the block; ignored signals, as with nohup, stay ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, handler)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])

"""Signals that end long work: they come once, in order, and not where half of it would be left."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from slipway_core.errors import SlipwayError

# Ctrl-C, a system that shuts down, a terminal that is gone.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How shells encode the signal that ended a command.
SIGNALLED = 128


@contextmanager
def interruptible(report: Callable[[str], None], interrupted: str) -> Iterator[None]:
    """Let a signal end the block as KeyboardInterrupt, and then the process with one sentence and 128 + its number.

    Args:
        report: receives the sentence: that of the error which the block makes of the interruption, if it does.
        interrupted: the sentence otherwise.

    Raises:
        SystemExit: a signal came, and the block did not end well.
    """
    came: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        # A closed terminal sends SIGHUP twice, from the kernel and from the shell, and people press Ctrl-C twice. The
        # second signal must not interrupt the cleanup that the first one started.
        if not came:
            came.append(number)
            raise KeyboardInterrupt

    with _handled_by(interrupt):
        try:
            yield
        # Abort is what a question that is interrupted raises.
        except (KeyboardInterrupt, typer.Abort, SlipwayError) as error:
            if not came:
                raise
            report(str(error) or interrupted)
            raise SystemExit(SIGNALLED + came[0]) from error


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Let a signal wait until the block has done what must not be left half done; a block that fails tells more."""
    came: list[int] = []
    with _handled_by(lambda number, _frame: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals in the block; one that is ignored, as by nohup, still is."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, handler)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])

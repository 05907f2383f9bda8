"""Signals that end long work."""

import signal

import pytest

from slipway_cli.backup.interruption import SIGNALS, deferred_signals, interruptible
from slipway_cli.errors import BackupError

EVERY = pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)


@EVERY
def test_signal_ends_the_block_with_a_sentence_and_exit_code(number: signal.Signals) -> None:
    told: list[str] = []

    with pytest.raises(SystemExit) as ended, interruptible(told.append, "it was interrupted"):
        signal.raise_signal(number)

    assert (ended.value.code, told) == (128 + number, ["it was interrupted"])


def test_error_of_the_interrupted_block_is_reported() -> None:
    told: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGHUP)
        except KeyboardInterrupt as error:
            raise BackupError("all is as it was") from error

    with pytest.raises(SystemExit), interruptible(told.append, "it was interrupted"):
        work()

    assert told == ["all is as it was"]


def test_error_without_a_signal_is_unchanged() -> None:
    told: list[str] = []

    with pytest.raises(BackupError), interruptible(told.append, "it was interrupted"):
        raise BackupError("the disk is full")

    assert told == []


def test_second_signal_does_not_interrupt_the_cleanup() -> None:
    done: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            for number in SIGNALS:
                signal.raise_signal(number)
            done.append("the cleaning up")

    with pytest.raises(SystemExit) as ended, interruptible(lambda _: None, ""):
        work()

    assert done == ["the cleaning up"]
    assert ended.value.code == 128 + signal.SIGHUP


def test_signal_is_deferred_until_the_block_ends() -> None:
    done: list[str] = []

    def work() -> None:
        with deferred_signals():
            signal.raise_signal(signal.SIGTERM)
            done.append("both halves")
        done.append("what comes after")

    with pytest.raises(SystemExit) as ended, interruptible(lambda _: None, ""):
        work()

    assert done == ["both halves"]
    assert ended.value.code == 128 + signal.SIGTERM


def test_failure_of_the_block_wins_over_a_held_signal() -> None:
    def work() -> None:
        signal.raise_signal(signal.SIGTERM)
        raise BackupError("the disk is full")

    with pytest.raises(BackupError, match="the disk is full"), interruptible(lambda _: None, ""), deferred_signals():
        work()


def test_signal_ignored_under_nohup_is_ignored() -> None:
    done: list[str] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    try:
        with interruptible(done.append, "it was interrupted"), deferred_signals():
            signal.raise_signal(signal.SIGHUP)
            done.append("the work")
    finally:
        signal.signal(signal.SIGHUP, before)

    assert done == ["the work"]


def test_signal_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]

    with pytest.raises(SystemExit), interruptible(lambda _: None, ""), deferred_signals():
        signal.raise_signal(signal.SIGTERM)

    assert [signal.getsignal(number) for number in SIGNALS] == before

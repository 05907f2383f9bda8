"""What a check found, and how to mend it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

Status = Literal["ok", "warning", "broken"]

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, in a word or two.
        status: `broken` is what keeps something from working, `warning` what may do so or surprises.
        what: what was found. It holds no secret.
        mend: what to do, with the command, variable or setting to change; empty where nothing is wrong.
    """

    check: str
    status: Status
    what: str
    mend: str = ""


def ok(check: str, what: str) -> Finding:
    """Return a finding with nothing to mend."""
    return Finding(check, "ok", what)


def warning(check: str, what: str, mend: str) -> Finding:
    """Return a finding that keeps nothing from working."""
    return Finding(check, "warning", what, mend)


def broken(check: str, what: str, mend: str) -> Finding:
    """Return a finding that keeps something from working."""
    return Finding(check, "broken", what, mend)


def guarded(name: str, check: Callable[[T], Iterable[Finding]], about: T) -> Iterator[Finding]:
    """Yield what a check finds; that the check itself fails is a finding, too."""
    try:
        yield from check(about)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other checks go on
        yield broken(
            name,
            f"this could not be looked at ({type(error).__name__})",
            "mend what else is said here and run `slipway doctor` again; if it stays, report it as an error of ours",
        )

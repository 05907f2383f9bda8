"""The result of a check, and how to fix a problem."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

Status = Literal["ok", "warning", "broken"]

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: the name of the check, one or two words.
        status: `broken`: something does not work; `warning`: something may not work.
        what: the result. It contains no secret.
        mend: how to fix it, with the command, variable or setting to change; empty if nothing is wrong.
    """

    check: str
    status: Status
    what: str
    mend: str = ""


def ok(check: str, what: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, "ok", what)


def warning(check: str, what: str, mend: str) -> Finding:
    """Return a finding about a possible problem."""
    return Finding(check, "warning", what, mend)


def broken(check: str, what: str, mend: str) -> Finding:
    """Return a finding about a problem that prevents something from working."""
    return Finding(check, "broken", what, mend)


def guarded(name: str, check: Callable[[T], Iterable[Finding]], about: T) -> Iterator[Finding]:
    """Yield the findings of a check; a failure of the check itself is a finding, too."""
    try:
        yield from check(about)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other checks go on
        yield broken(
            name,
            f"this check failed ({type(error).__name__})",
            "fix the other findings and run `slipway doctor` again; if it fails again, report it as a bug in Slipway",
        )

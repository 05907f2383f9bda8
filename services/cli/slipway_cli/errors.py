"""Errors of the command line. Each ends a command with exit code 1 and its one sentence.

SlipwayError
├── ApiError       the API refused, failed or cannot be reached
├── BackupError    a backup cannot be written, is damaged, or is none
├── NotLoggedInError   a command over the API was given no address or token
└── StackError     the embedded stack, or that of Docker, cannot start or go on
"""

from slipway_core.errors import SlipwayError


class ApiError(SlipwayError):
    """The API refused, failed or cannot be reached.

    Attributes:
        status: the status code of its response; None without a response.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class BackupError(SlipwayError):
    """A backup cannot be written, is damaged, is of another release, or is none."""


class NotLoggedInError(SlipwayError):
    """A command over the API was given no address or token."""


class StackError(SlipwayError):
    """The embedded stack, or that of Docker, cannot start or go on."""

"""Errors of the command line. Each ends a command with exit code 1 and a one-sentence message.

SlipwayError
├── ApiError       the API rejected a request, failed, or cannot be reached
├── BackupError    a backup cannot be written or restored
├── NotLoggedInError   a command that uses the API has no address or token
└── StackError     the embedded or the compose stack cannot start or continue
"""

from slipway_core.errors import SlipwayError


class ApiError(SlipwayError):
    """The API rejected a request, failed, or cannot be reached.

    Attributes:
        status: the status code of its response; None without a response.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class BackupError(SlipwayError):
    """A backup cannot be written, is damaged, comes from another release, or the file is not a backup."""


class NotLoggedInError(SlipwayError):
    """A command that uses the API has no address or token."""


class StackError(SlipwayError):
    """The embedded or the compose stack cannot start or continue."""

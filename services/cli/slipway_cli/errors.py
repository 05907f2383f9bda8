"""Errors of the command line. Each ends a command with exit code 1 and its one sentence.

SlipwayError
├── ApiError       the API refused, failed or cannot be reached
├── NotLoggedInError   a command over the API was given no address or token
└── StackError     the embedded stack cannot start or go on
"""

from slipway_core.errors import SlipwayError


class ApiError(SlipwayError):
    """The API refused, failed or cannot be reached."""


class NotLoggedInError(SlipwayError):
    """A command over the API was given no address or token."""


class StackError(SlipwayError):
    """The embedded stack cannot start or go on."""

"""Errors of the API that no other service knows. They know nothing of HTTP; `problems.py` turns them into answers.

SlipwayError
├── AuthenticationError       no token, or one that is refused
├── PermissionDeniedError     a role that may not
├── NotFoundError             no such model, account or prediction
│   └── NotYetThereError      no such prediction yet; trying again may help
├── ConflictError             a name that is taken, the last active admin, a row that has feedback
├── InvalidInputError         a body that cannot be understood, with the places
├── TooLargeError             a body or batch over its limit
├── UnsupportedMediaTypeError a content type that is not understood
├── TooManyRequestsError      try again later
├── NotReadyError             a model or the accounts are not there yet, or no longer
│   ├── SlowBodyError         a body arrived so slowly that it made room for others
│   └── UnusableAnswerError   the model gives what it cannot mean
└── DeadlineError             the answer takes too long
"""

from collections.abc import Sequence

from slipway_core.errors import Problem, SlipwayError


class AuthenticationError(SlipwayError):
    """No token, or one that is refused."""


class PermissionDeniedError(SlipwayError):
    """The account's role does not allow this."""


class NotFoundError(SlipwayError):
    """There is no such model or account."""


class NotYetThereError(NotFoundError):
    """There is no such prediction, but it is so young that it may come yet.

    Attributes:
        retry_after_seconds: when to try again.
    """

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class ConflictError(SlipwayError):
    """The name is taken, the account is the last active admin, or the row has feedback."""


class InvalidInputError(SlipwayError):
    """A body that cannot be understood.

    Attributes:
        problems: each place that is wrong.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.msg for problem in self.problems))


class TooLargeError(SlipwayError):
    """A body or batch is over its limit."""


class UnsupportedMediaTypeError(SlipwayError):
    """The body's content type is not understood."""


class TooManyRequestsError(SlipwayError):
    """Too much is asked at once.

    Attributes:
        retry_after_seconds: when to try again.
    """

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class NotReadyError(SlipwayError):
    """What the request needs is not there yet, or no longer.

    Attributes:
        retry_after_seconds: when to try again.
    """

    def __init__(self, message: str, retry_after_seconds: int = 2) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class SlowBodyError(NotReadyError):
    """The body arrived so slowly that it made room for others; the connection is closed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_seconds=1)


class DeadlineError(SlipwayError):
    """The answer takes longer than a request may."""


class UnusableAnswerError(NotReadyError):
    """The model fails on the input, or gives what its manifest rules out, such as a class that there is not."""

    def __init__(self, message: str) -> None:
        # Nothing changes before somebody promotes another version.
        super().__init__(message, retry_after_seconds=60)

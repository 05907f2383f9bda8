"""Errors of the API. They are independent of HTTP; `problems.py` maps them to responses.

SlipwayError
├── AuthenticationError       missing or invalid token or API key
├── PermissionDeniedError     the account's role or the API key does not permit the action
├── NotFoundError             unknown model, account, key or prediction
│   └── NotYetThereError      prediction not stored yet; retry
├── ConflictError             name taken, last active admin, row with feedback, or too many keys
├── InvalidInputError         invalid body, with the places of the errors
├── TooLargeError             body or batch over its limit
├── UnsupportedMediaTypeError unsupported content type
│   └── UnsupportedEncodingError unsupported content coding
├── TooManyRequestsError      rate limit exceeded; retry later
├── NotReadyError             a model, the accounts or the database are unavailable
│   ├── SlowBodyError         body evicted because it arrived too slowly
│   └── UnusableAnswerError   the model failed or returned invalid output
└── DeadlineError             the request timed out
"""

from collections.abc import Sequence

from slipway_core.errors import Problem, SlipwayError


class AuthenticationError(SlipwayError):
    """The token or the API key is missing or invalid."""


class PermissionDeniedError(SlipwayError):
    """The account's role or the API key does not permit this."""


class NotFoundError(SlipwayError):
    """The model, account, key or prediction does not exist."""


class NotYetThereError(NotFoundError):
    """The prediction is not stored yet, but may be soon.

    Attributes:
        retry_after_seconds: when to retry.
    """

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class ConflictError(SlipwayError):
    """The name is taken, it is the last active admin, the row has feedback, or the account has too many keys."""


class InvalidInputError(SlipwayError):
    """A body is invalid.

    Attributes:
        problems: the places and messages of the errors.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.msg for problem in self.problems))


class TooLargeError(SlipwayError):
    """A body or batch is over its limit."""


class UnsupportedMediaTypeError(SlipwayError):
    """The body's content type is not supported."""


class UnsupportedEncodingError(UnsupportedMediaTypeError):
    """The body's content coding is not supported."""


class TooManyRequestsError(SlipwayError):
    """A rate limit is exceeded.

    Attributes:
        retry_after_seconds: when to retry.
    """

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class NotReadyError(SlipwayError):
    """A resource that the request needs is unavailable.

    Attributes:
        retry_after_seconds: when to retry.
    """

    def __init__(self, message: str, retry_after_seconds: int = 2) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class SlowBodyError(NotReadyError):
    """A body was evicted because it arrived too slowly; the connection is closed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_seconds=1)


class DeadlineError(SlipwayError):
    """The request exceeded its time limit."""


class UnusableAnswerError(NotReadyError):
    """The model failed, or returned output that its manifest rules out, such as an unknown class."""

    def __init__(self, message: str) -> None:
        # Only another version fixes this.
        super().__init__(message, retry_after_seconds=60)

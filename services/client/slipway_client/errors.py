"""Errors of the client. Every message is one sentence that names the cause and is safe to show: it has no secrets.

SlipwayError
├── ConfigurationError      the address, a credential, or a variable of the environment is not valid
├── ConnectionFailedError   the API cannot be reached, or the connection broke
│   └── TimedOutError           the API did not respond in time
├── UnexpectedResponseError the response is not one of Slipway's API
├── BatchError              some rows of a call failed; the others succeeded
└── RequestError            the request was rejected
    ├── AuthenticationError     no credential, or an invalid or expired one (status 401)
    ├── PermissionDeniedError   the account or the key may not do this (403)
    ├── NotFoundError           the model, prediction or account does not exist (404)
    ├── ConflictError           the row has feedback, or the name is taken (409)
    ├── PayloadTooLargeError    a single row exceeds the limit of the API (413)
    ├── ValidationError         values are invalid; `errors` has their rows and columns (422)
    ├── RateLimitedError        too many requests (429)
    ├── ServiceUnavailableError the API is overloaded, or the model is not loaded (503)
    └── DeadlineExceededError   the API stopped the request at its time limit (504)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class SlipwayError(Exception):
    """The base class of the client's errors."""


class ConfigurationError(SlipwayError):
    """The address, a credential, or a variable of the environment is not valid."""


class ConnectionFailedError(SlipwayError):
    """The API cannot be reached, or the connection broke."""


class TimedOutError(ConnectionFailedError):
    """The API did not respond in time."""


class UnexpectedResponseError(SlipwayError):
    """The response is not one of Slipway's API."""


@dataclass(frozen=True)
class InvalidValue:
    """One invalid place in a request.

    Attributes:
        message: what is wrong.
        row: the number of the row in the data of the call, from 0; None if the error is not in a row.
        column: the name of the column; None if the error is not in one.
        loc: the place as the API reports it: keys and indices from the root of the body.
    """

    message: str
    row: int | None = None
    column: str | None = None
    loc: tuple[str | int, ...] = ()


class RequestError(SlipwayError):
    """The request was rejected.

    Attributes:
        status: the HTTP status; None if the client rejected the data before it sent a request.
        title: the name of the status.
        detail: what is wrong, and what to do.
        errors: the invalid places.
        request_id: the id of the request in the API's log; empty without a response.
        retry_after_seconds: when a retry may succeed; None if the API does not say so.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        title: str = "",
        errors: Sequence[InvalidValue] = (),
        request_id: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        super().__init__(detail)


class AuthenticationError(RequestError):
    """No credential, or an invalid or expired one."""


class PermissionDeniedError(RequestError):
    """The account or the key may not do this."""


class NotFoundError(RequestError):
    """The model, prediction or account does not exist."""


class ConflictError(RequestError):
    """The row has feedback, or the name is taken."""


class PayloadTooLargeError(RequestError):
    """A single row exceeds the limit of the API."""


class ValidationError(RequestError):
    """Values are invalid; `errors` has their rows and columns."""

    def __str__(self) -> str:
        """Return the errors with their rows."""
        located = [f"row {error.row}: {error.message}" for error in self.errors if error.row is not None]
        return "; ".join(located) or self.detail


class RateLimitedError(RequestError):
    """Too many requests."""


class ServiceUnavailableError(RequestError):
    """The API is overloaded, or the model is not loaded."""


class DeadlineExceededError(RequestError):
    """The API stopped the request at its time limit."""


@dataclass(frozen=True)
class Failure:
    """Rows that failed together.

    Attributes:
        rows: their numbers in the data of the call, from 0.
        error: the reason. Rows after an error such as a lost connection are not sent, and have the same reason.
    """

    rows: range
    error: SlipwayError

    def __str__(self) -> str:
        first, last = self.rows.start, self.rows.stop - 1
        rows = f"row {first}" if first == last else f"rows {first} to {last}"
        return f"{rows} failed: {self.error}"


class BatchError(SlipwayError):
    """Some rows of a call failed.

    Attributes:
        failures: the failed rows with their errors, in the order of the rows.
        result: what the call would have returned for the other rows; None if there are none.
    """

    def __init__(self, failures: Sequence[Failure], result: Any) -> None:  # noqa: ANN401  # a result or a DataFrame
        self.failures = tuple(failures)
        self.result = result
        first, more = self.failures[0], len(self.failures) - 1
        super().__init__(str(first) + (f"; {more} more parts failed" if more else ""))

    @property
    def failed_rows(self) -> list[int]:
        """The numbers of all failed rows."""
        return [row for failure in self.failures for row in failure.rows]

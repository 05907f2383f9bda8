"""When to retry a request, and after which time."""

import random
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from slipway_client.errors import ConnectionFailedError, RequestError, SlipwayError, TimedOutError

# The request was not sent, so that a retry cannot repeat its effect.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# The API rejected the request before it did anything. 404: the prediction is not in the database yet.
REJECTED = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
# A proxy could not reach the API, or the API is starting.
UNAVAILABLE = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True)
class Retry:
    """How often and how long to retry.

    Retried are requests that were not sent, that the API rejected with `Retry-After`, and lost responses of requests
    that can be repeated: those that read, and predictions.

    Attributes:
        attempts: the most attempts of a request, including the first one; 1 turns retries off. Attempts that a rate
            limit rejected do not count.
        backoff_seconds: the first waiting time, if the API names none. It doubles with each attempt.
        max_wait_seconds: the longest total waiting time of a request. A longer `Retry-After` is an error at once.
    """

    attempts: int = 3
    backoff_seconds: float = 0.5
    max_wait_seconds: float = 60.0

    def wait_seconds(self, attempt: int, waited: float, error: SlipwayError) -> float | None:
        """Return the time to wait before the next attempt, with jitter; None to give up.

        Args:
            attempt: the number of failed attempts, without those that a rate limit rejected.
            waited: the time that this request has waited already, in seconds.
            error: the error of the last attempt.
        """
        if attempt >= self.attempts or self.attempts == 1:
            return None
        # Jitter: clients that failed together must not return together. No secret depends on it.
        jitter = random.random()  # noqa: S311
        asked = error.retry_after_seconds if isinstance(error, RequestError) else None
        if asked is None:
            seconds = self.backoff_seconds * 2 ** max(attempt - 1, 0) * (0.5 + jitter / 2)
        else:
            seconds = asked + self.backoff_seconds * jitter
        return seconds if waited + seconds <= self.max_wait_seconds else None


def may_retry(error: SlipwayError, *, is_repeatable: bool) -> bool:
    """Return whether a retry is safe.

    Args:
        error: the error of the last attempt.
        is_repeatable: whether the request may be processed twice.
    """
    if isinstance(error, RequestError):
        if error.retry_after_seconds is not None and error.status in REJECTED:
            return True
        return is_repeatable and error.status in UNAVAILABLE
    cause = error.__cause__
    return isinstance(cause, NOT_SENT) or (is_repeatable and isinstance(cause, httpx.TransportError))


def connection_error(error: httpx.HTTPError, url: str, timeout_seconds: float) -> SlipwayError:
    """Return the client's error for one of httpx."""
    if isinstance(error, httpx.TimeoutException):
        return TimedOutError(
            f"the API at {url} did not respond within {timeout_seconds:g} s: try again, or see its log"
        )
    return ConnectionFailedError(
        f"the API at {url} cannot be reached: check that it is running and that the address is right"
    )

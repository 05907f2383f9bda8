"""Limit the predictions of each account, with a token bucket per account in this process."""

import math
import time
import uuid
from collections.abc import Callable

from slipway_api.errors import TooManyRequestsError


class PredictionRate:
    """Limit predictions per account and minute, in bursts of up to a tenth of the limit.

    Each process counts separately: with several workers, each applies its share of the limit.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._burst = max(1.0, per_minute / 10)
        self._clock = clock
        # Remaining requests and the time of that count. Only accounts with a valid token get an entry.
        self._left: dict[uuid.UUID, tuple[float, float]] = {}

    def take(self, user_id: uuid.UUID) -> None:
        """Count one request of an account.

        Raises:
            TooManyRequestsError: the account has exceeded its limit.
        """
        if not self._per_second:
            return
        now = self._clock()
        left, at = self._left.get(user_id, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        if left < 1:
            self._left[user_id] = left, now
            pause = math.ceil((1 - left) / self._per_second)
            raise TooManyRequestsError("this account has exceeded its prediction limit; try again in a moment", pause)
        self._left[user_id] = left - 1, now

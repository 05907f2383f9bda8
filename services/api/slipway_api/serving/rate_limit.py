"""How often each account may predict: a token bucket an account, in this process."""

import math
import time
import uuid
from collections.abc import Callable

from slipway_api.errors import TooManyRequestsError


class PredictionRate:
    """Lets an account predict so many times a minute, in bursts of up to a tenth of that.

    Each process counts for itself: with several workers each takes its share of the limit.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._burst = max(1.0, per_minute / 10)
        self._clock = clock
        # What is left, and when it was so. Only accounts that have a token come here, so it stays small.
        self._left: dict[uuid.UUID, tuple[float, float]] = {}

    def take(self, user_id: uuid.UUID) -> None:
        """Count one request of an account.

        Raises:
            TooManyRequestsError: it has asked too often.
        """
        if not self._per_second:
            return
        now = self._clock()
        left, at = self._left.get(user_id, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        if left < 1:
            self._left[user_id] = left, now
            pause = math.ceil((1 - left) / self._per_second)
            raise TooManyRequestsError("too many predictions of this account; try again in a moment", pause)
        self._left[user_id] = left - 1, now

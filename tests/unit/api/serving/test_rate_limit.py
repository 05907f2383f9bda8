"""The rate limit of an account's predictions."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_api.errors import TooManyRequestsError
from slipway_api.serving.rate_limit import PredictionRate
from support.clock import Clock

USER = uuid.uuid4()


def taken(rate: PredictionRate, user: uuid.UUID = USER, times: int = 1) -> int:
    """Return how many of some requests were allowed."""
    let_in = 0
    for _ in range(times):
        try:
            rate.take(user)
        except TooManyRequestsError:
            continue
        let_in += 1
    return let_in


def test_requests_are_unlimited_without_a_limit() -> None:
    assert taken(PredictionRate(0), times=10_000) == 10_000


def test_burst_of_a_tenth_of_a_minute_is_allowed() -> None:
    assert taken(PredictionRate(600, Clock(0.0)), times=100) == 60


def test_used_allowance_recovers_over_time() -> None:
    clock = Clock(0.0)
    rate = PredictionRate(600, clock)
    taken(rate, times=60)

    clock.now = 1.0

    assert taken(rate, times=60) == 10


def test_accounts_have_separate_limits() -> None:
    rate = PredictionRate(600, Clock(0.0))
    taken(rate, times=100)

    assert taken(rate, uuid.uuid4(), times=100) == 60


def test_very_low_limit_allows_one_request() -> None:
    assert taken(PredictionRate(0.5, Clock(0.0)), times=3) == 1


def test_request_after_the_stated_wait_is_allowed() -> None:
    clock = Clock(0.0)
    rate = PredictionRate(7, clock)
    rate.take(USER)
    with pytest.raises(TooManyRequestsError) as caught:
        rate.take(USER)

    clock.now += caught.value.retry_after_seconds

    assert taken(rate) == 1


@given(per_minute=st.floats(1, 10_000), pauses=st.lists(st.floats(0, 20), min_size=1, max_size=100))
def test_limit_and_burst_are_never_exceeded(per_minute: float, pauses: list[float]) -> None:
    clock = Clock(0.0)
    rate = PredictionRate(per_minute, clock)
    let_in = 0
    for pause in pauses:
        clock.now += pause
        let_in += taken(rate, times=50)

    assert let_in <= per_minute / 60 * sum(pauses) + max(1, per_minute / 10) + 1

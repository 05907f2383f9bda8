"""Failed logins: how they are counted, and which logins are rejected."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from slipway_api.accounts.login_throttle import (
    KNOWN_ADDRESS_SECONDS,
    MAX_CACHED_REJECTIONS,
    PRUNE_SECONDS,
    REJECTION_CACHE_SECONDS,
    Limits,
    LoginAttempts,
    LoginThrottle,
)
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.errors import TooManyRequestsError
from slipway_api.http.networks import network_of
from slipway_core.database import connect
from slipway_core.tables import login_attempts
from support.account_databases import migrated
from support.api import SECRET_KEY
from support.clock import Clock

LIMITS = Limits(per_name=3, per_address=5, window_seconds=300)
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"
WRONG = "wrong horse battery"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> LoginThrottle:
    return LoginThrottle(SECRET_KEY, LIMITS, clock)


@pytest.fixture
def attempts(tmp_path: Path) -> Iterator[LoginAttempts]:
    with migrated(f"sqlite:///{tmp_path / 'slipway.db'}") as engine:
        yield SqlAccountStore(engine).attempts


def fail(throttle: LoginThrottle, attempts: LoginAttempts, name: str, address: str = HOME, times: int = 1) -> bool:
    """Fail some attempts; return whether the last of them locked the name."""
    locked = False
    for _ in range(times):
        locked = throttle.record_failure(attempts, throttle.check(attempts, name, address))
    return locked


def succeed(throttle: LoginThrottle, attempts: LoginAttempts, name: str, address: str = HOME) -> None:
    throttle.record_success(attempts, throttle.check(attempts, name, address))


def seconds_rejected(throttle: LoginThrottle, attempts: LoginAttempts, name: str, address: str = HOME) -> int:
    with pytest.raises(TooManyRequestsError) as caught:
        throttle.check(attempts, name, address)
    return caught.value.retry_after_seconds


def test_name_is_rejected_after_failures_until_window_ends(
    throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock
) -> None:
    assert not fail(throttle, attempts, "uma", times=2)
    clock.now += 100
    assert fail(throttle, attempts, "uma")

    assert seconds_rejected(throttle, attempts, "uma") == 200
    clock.now += 199
    assert seconds_rejected(throttle, attempts, "uma") == 1
    clock.now += 1
    throttle.check(attempts, "uma", HOME)


def test_rejected_attempts_do_not_extend_window(throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock) -> None:
    fail(throttle, attempts, "uma", times=3)

    for _ in range(299):
        seconds_rejected(throttle, attempts, "uma")
        clock.now += 1

    clock.now += 1
    throttle.check(attempts, "uma", HOME)


def test_locked_name_is_rejected_from_every_address(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=3)

    seconds_rejected(throttle, attempts, "uma", ELSEWHERE)
    throttle.check(attempts, "vic", HOME)


def test_address_is_rejected_after_failures_of_several_names(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    for name in "abcde":
        fail(throttle, attempts, name)

    seconds_rejected(throttle, attempts, "f")
    throttle.check(attempts, "f", ELSEWHERE)


def test_rejected_address_does_not_lock_names(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    for name in "abcde":
        fail(throttle, attempts, name)

    for _ in range(5):
        seconds_rejected(throttle, attempts, "uma")

    throttle.check(attempts, "uma", ELSEWHERE)


def test_success_clears_failures_of_name_but_not_of_address(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=2)
    succeed(throttle, attempts, "uma")
    fail(throttle, attempts, "vic", times=2)
    fail(throttle, attempts, "uma", times=2)
    fail(throttle, attempts, "ada")

    seconds_rejected(throttle, attempts, "bea")


def test_network_with_earlier_success_is_not_locked_by_others(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    succeed(throttle, attempts, "uma", HOME)

    fail(throttle, attempts, "uma", ELSEWHERE, times=3)

    seconds_rejected(throttle, attempts, "uma", ELSEWHERE)
    throttle.check(attempts, "uma", HOME)


def test_network_with_earlier_success_has_a_limit_too(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    succeed(throttle, attempts, "uma")

    assert fail(throttle, attempts, "uma", times=3)

    seconds_rejected(throttle, attempts, "uma")
    throttle.check(attempts, "uma", ELSEWHERE)


def test_success_at_home_keeps_limit_for_other_networks(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    succeed(throttle, attempts, "uma", HOME)
    fail(throttle, attempts, "uma", ELSEWHERE, times=3)

    succeed(throttle, attempts, "uma", HOME)

    seconds_rejected(throttle, attempts, "uma", ELSEWHERE)


def test_earlier_success_of_network_expires(throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock) -> None:
    succeed(throttle, attempts, "uma", HOME)
    clock.now += KNOWN_ADDRESS_SECONDS
    fail(throttle, attempts, "uma", ELSEWHERE, times=3)

    seconds_rejected(throttle, attempts, "uma", HOME)


def test_reset_unlocks_name(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=3)

    throttle.reset(attempts, "uma")

    throttle.check(attempts, "uma", HOME)


def test_reset_unlocks_name_at_networks_with_earlier_success(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    for address in (HOME, ELSEWHERE):
        succeed(throttle, attempts, "uma", address)
        fail(throttle, attempts, "uma", address, times=3)

    throttle.reset(attempts, "uma")

    throttle.check(attempts, "uma", HOME)
    throttle.check(attempts, "uma", ELSEWHERE)


def test_reset_clears_cached_rejections_of_name(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    for name in ("uma", "vic"):
        fail(throttle, attempts, name, times=3 if name == "uma" else 2)
        seconds_rejected(throttle, attempts, name)

    throttle.reset(attempts, "uma")

    throttle.reject_recent("uma", HOME)
    with pytest.raises(TooManyRequestsError):
        throttle.reject_recent("vic", HOME)


def test_reset_leaves_other_names_locked(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=3)
    succeed(throttle, attempts, "vic", ELSEWHERE)
    fail(throttle, attempts, "vic", ELSEWHERE, times=3)

    throttle.reset(attempts, "uma")

    seconds_rejected(throttle, attempts, "vic", ELSEWHERE)


def test_workers_share_failure_counts(throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock) -> None:
    other = LoginThrottle(SECRET_KEY, LIMITS, clock)
    fail(throttle, attempts, "uma", times=2)
    fail(other, attempts, "uma")

    seconds_rejected(throttle, attempts, "uma")


def test_recent_rejection_is_repeated_without_database(
    throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock
) -> None:
    fail(throttle, attempts, "uma", times=3)
    throttle.reject_recent("uma", HOME)
    seconds_rejected(throttle, attempts, "uma")

    with pytest.raises(TooManyRequestsError) as caught:
        throttle.reject_recent("uma", HOME)

    assert caught.value.retry_after_seconds == 300
    throttle.reject_recent("uma", ELSEWHERE)
    clock.now += REJECTION_CACHE_SECONDS
    throttle.reject_recent("uma", HOME)


def test_rejection_cache_is_bounded(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=3)
    throttle._rejected = {(str(number), ""): (0.0, 0.0) for number in range(MAX_CACHED_REJECTIONS)}

    seconds_rejected(throttle, attempts, "uma")

    assert len(throttle._rejected) == 1


def test_record_failure_prunes_expired_rows(
    throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock, tmp_path: Path
) -> None:
    fail(throttle, attempts, "uma")
    clock.now += max(LIMITS.window_seconds, PRUNE_SECONDS)

    fail(throttle, attempts, "vic", ELSEWHERE)

    assert len(stored_keys(f"sqlite:///{tmp_path / 'slipway.db'}")) == 2


def stored_keys(url: str) -> list[str]:
    engine = connect(url)
    with engine.connect() as connection:
        keys = list(connection.execute(select(login_attempts.c.key)).scalars())
    engine.dispose()
    return keys


def test_attempts_store_hashes_of_names_only(throttle: LoginThrottle, attempts: LoginAttempts, tmp_path: Path) -> None:
    for name in ("uma", "a password, typed in the wrong field", "x" * 100_000, "\ud800"):
        fail(throttle, attempts, name)

    keys = stored_keys(f"sqlite:///{tmp_path / 'slipway.db'}")
    assert {len(key) for key in keys} == {64}
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_network_of_groups_addresses_of_one_customer(address: str | None, network: str) -> None:
    assert network_of(address) == network

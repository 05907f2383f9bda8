"""Failed logins: how they are counted, who is refused, and who is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.typing import EventDict

from slipway_api.accounts.login_throttle import (
    KNOWN_ADDRESS_SECONDS,
    MAX_REMEMBERED,
    PRUNE_SECONDS,
    REMEMBERED_SECONDS,
    Limits,
    LoginAttempts,
    LoginThrottle,
)
from slipway_api.accounts.models import Role
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.repository import SqlAccountStore
from slipway_api.errors import TooManyRequestsError
from slipway_api.http.networks import network_of
from slipway_core.database import connect
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.tables import login_attempts
from support.account_databases import migrated
from support.api import PASSWORD, SECRET_KEY, RunningApi, StartApi
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
        locked = throttle.failed(attempts, throttle.check(attempts, name, address))
    return locked


def succeed(throttle: LoginThrottle, attempts: LoginAttempts, name: str, address: str = HOME) -> None:
    throttle.succeeded(attempts, throttle.check(attempts, name, address))


def seconds_refused(throttle: LoginThrottle, attempts: LoginAttempts, name: str, address: str = HOME) -> int:
    with pytest.raises(TooManyRequestsError) as caught:
        throttle.check(attempts, name, address)
    return caught.value.retry_after_seconds


def test_a_name_is_refused_after_its_failures_until_the_window_ends(
    throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock
) -> None:
    assert not fail(throttle, attempts, "uma", times=2)
    clock.now += 100
    assert fail(throttle, attempts, "uma")

    assert seconds_refused(throttle, attempts, "uma") == 200
    clock.now += 199
    assert seconds_refused(throttle, attempts, "uma") == 1
    clock.now += 1
    throttle.check(attempts, "uma", HOME)


def test_attempts_that_are_refused_prolong_nothing(
    throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock
) -> None:
    fail(throttle, attempts, "uma", times=3)

    for _ in range(299):
        seconds_refused(throttle, attempts, "uma")
        clock.now += 1

    clock.now += 1
    throttle.check(attempts, "uma", HOME)


def test_a_name_is_refused_from_everywhere_and_no_other_name_is(
    throttle: LoginThrottle, attempts: LoginAttempts
) -> None:
    fail(throttle, attempts, "uma", times=3)

    seconds_refused(throttle, attempts, "uma", ELSEWHERE)
    throttle.check(attempts, "vic", HOME)


def test_an_address_is_refused_whatever_names_it_tried(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    for name in "abcde":
        fail(throttle, attempts, name)

    seconds_refused(throttle, attempts, "f")
    throttle.check(attempts, "f", ELSEWHERE)


def test_an_address_that_is_refused_locks_no_names(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    for name in "abcde":
        fail(throttle, attempts, name)

    for _ in range(5):
        seconds_refused(throttle, attempts, "uma")

    throttle.check(attempts, "uma", ELSEWHERE)


def test_a_success_clears_the_name_and_not_the_address(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=2)
    succeed(throttle, attempts, "uma")
    fail(throttle, attempts, "vic", times=2)
    fail(throttle, attempts, "uma", times=2)
    fail(throttle, attempts, "ada")

    seconds_refused(throttle, attempts, "bea")


def test_nobody_elsewhere_locks_out_who_has_logged_in_from_here(
    throttle: LoginThrottle, attempts: LoginAttempts
) -> None:
    succeed(throttle, attempts, "uma", HOME)

    fail(throttle, attempts, "uma", ELSEWHERE, times=3)

    seconds_refused(throttle, attempts, "uma", ELSEWHERE)
    throttle.check(attempts, "uma", HOME)


def test_where_one_has_logged_in_from_failures_are_limited_too(
    throttle: LoginThrottle, attempts: LoginAttempts
) -> None:
    succeed(throttle, attempts, "uma")

    assert fail(throttle, attempts, "uma", times=3)

    seconds_refused(throttle, attempts, "uma")
    throttle.check(attempts, "uma", ELSEWHERE)


def test_a_login_from_home_does_not_give_strangers_more_attempts(
    throttle: LoginThrottle, attempts: LoginAttempts
) -> None:
    succeed(throttle, attempts, "uma", HOME)
    fail(throttle, attempts, "uma", ELSEWHERE, times=3)

    succeed(throttle, attempts, "uma", HOME)

    seconds_refused(throttle, attempts, "uma", ELSEWHERE)


def test_an_address_is_forgotten_when_one_stays_away(
    throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock
) -> None:
    succeed(throttle, attempts, "uma", HOME)
    clock.now += KNOWN_ADDRESS_SECONDS
    fail(throttle, attempts, "uma", ELSEWHERE, times=3)

    seconds_refused(throttle, attempts, "uma", HOME)


def test_a_new_password_by_an_admin_ends_the_lock(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=3)

    throttle.forget(attempts, "uma")

    throttle.check(attempts, "uma", HOME)


def test_a_new_password_ends_the_lock_where_one_has_logged_in_from(
    throttle: LoginThrottle, attempts: LoginAttempts
) -> None:
    for address in (HOME, ELSEWHERE):
        succeed(throttle, attempts, "uma", address)
        fail(throttle, attempts, "uma", address, times=3)

    throttle.forget(attempts, "uma")

    throttle.check(attempts, "uma", HOME)
    throttle.check(attempts, "uma", ELSEWHERE)


def test_a_new_password_ends_what_is_remembered_of_refusals(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    for name in ("uma", "vic"):
        fail(throttle, attempts, name, times=3 if name == "uma" else 2)
        seconds_refused(throttle, attempts, name)

    throttle.forget(attempts, "uma")

    throttle.refuse_again("uma", HOME)
    with pytest.raises(TooManyRequestsError):
        throttle.refuse_again("vic", HOME)


def test_a_new_password_leaves_others_locked(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=3)
    succeed(throttle, attempts, "vic", ELSEWHERE)
    fail(throttle, attempts, "vic", ELSEWHERE, times=3)

    throttle.forget(attempts, "uma")

    seconds_refused(throttle, attempts, "vic", ELSEWHERE)


def test_another_worker_counts_on(throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock) -> None:
    other = LoginThrottle(SECRET_KEY, LIMITS, clock)
    fail(throttle, attempts, "uma", times=2)
    fail(other, attempts, "uma")

    seconds_refused(throttle, attempts, "uma")


def test_who_was_refused_a_moment_ago_is_refused_without_the_database(
    throttle: LoginThrottle, attempts: LoginAttempts, clock: Clock
) -> None:
    fail(throttle, attempts, "uma", times=3)
    throttle.refuse_again("uma", HOME)
    seconds_refused(throttle, attempts, "uma")

    with pytest.raises(TooManyRequestsError) as caught:
        throttle.refuse_again("uma", HOME)

    assert caught.value.retry_after_seconds == 300
    throttle.refuse_again("uma", ELSEWHERE)
    clock.now += REMEMBERED_SECONDS
    throttle.refuse_again("uma", HOME)


def test_what_is_remembered_is_bounded(throttle: LoginThrottle, attempts: LoginAttempts) -> None:
    fail(throttle, attempts, "uma", times=3)
    throttle._refused = {(str(number), ""): (0.0, 0.0) for number in range(MAX_REMEMBERED)}

    seconds_refused(throttle, attempts, "uma")

    assert len(throttle._refused) == 1


def test_old_rows_are_deleted_in_passing(
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


def test_what_was_typed_is_not_stored(throttle: LoginThrottle, attempts: LoginAttempts, tmp_path: Path) -> None:
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
def test_an_address_counts_as_what_one_customer_is_given(address: str | None, network: str) -> None:
    assert network_of(address) == network


# Through the app.


def log_in(api: RunningApi, name: str, password: str = WRONG, address: str = HOME) -> int:
    form = {"username": name, "password": password}
    return api.post("/token", data=form, client=(address, 1)).status_code


@pytest.mark.parametrize("name", ["uma", "nobody", "no name at all!"])
def test_any_name_is_answered_429_after_ten_failures(
    start_api: StartApi, registry: InMemoryRegistry, name: str
) -> None:
    api = start_api(registry)

    assert [log_in(api, name) for _ in range(12)] == [401] * 10 + [429] * 2

    answer = api.post("/token", data={"username": name.upper(), "password": PASSWORD}, client=(HOME, 1))
    assert answer.status_code == 429
    assert 290 <= int(answer.headers["Retry-After"]) <= 300
    assert api.sample("slipway_logins_total", outcome="throttled") == 3


def test_a_throttled_login_is_never_hashed(
    start_api: StartApi, registry: InMemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = start_api(registry, login_max_failures=1)
    log_in(api, "uma")
    verified: list[str] = []
    monkeypatch.setattr(Passwords, "verify", lambda _self, password, _hash: verified.append(password))

    assert [log_in(api, "uma", PASSWORD) for _ in range(3)] == [429] * 3

    assert verified == []


def test_a_restart_forgets_no_failures(start_api: StartApi, registry: InMemoryRegistry) -> None:
    log_in(start_api(registry, login_max_failures=1), "uma")

    assert log_in(start_api(registry, login_max_failures=1), "uma", PASSWORD) == 429


def test_logins_that_succeed_at_once_do_not_refuse_one_another(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, login_max_failures=1)

    form = {"username": "uma", "password": PASSWORD}
    answers = [api.send("POST", "/token", data=form) for _ in range(6)]

    assert [answer.result(30).status_code for answer in answers] == [200] * 6


def test_a_lock_is_told_once_to_admins(start_api: StartApi, registry: InMemoryRegistry, logs: list[EventDict]) -> None:
    api = start_api(registry, login_max_failures=2)

    for name in ("uma", "uma", "uma", "nobody", "nobody", "nobody"):
        log_in(api, name)

    events = api.get("/users/events", role=Role.ADMIN).json()["events"]
    locked = [event for event in events if event["action"] == "login_locked"]
    assert [(event["subject_name"], event["actor_id"], event["address"]) for event in locked] == [("uma", None, HOME)]
    assert [entry["user_id"] for entry in logs if entry.get("action") == "login_locked"] == [
        str(api.accounts[Role.USER].id)
    ]


def test_a_wrong_current_password_counts_as_a_failed_login(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, login_max_failures=2)
    change = {"current_password": "wrong horse battery", "new_password": "another horse battery"}

    answers = [api.request("PUT", "/users/me/password", role=Role.USER, json=change).status_code for _ in range(3)]

    assert answers == [403, 403, 429]
    assert log_in(api, "uma", PASSWORD) == 429


def test_an_admins_new_password_lets_a_locked_name_in(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, login_max_failures=1)
    assert [log_in(api, "uma", password) for password in (PASSWORD, WRONG, WRONG)] == [200, 401, 429]

    api.request("PATCH", "/users/uma", role=Role.ADMIN, json={"password": "another horse battery"})

    assert log_in(api, "uma", "another horse battery") == 200

"""`/token`: logging in, and the limits of failed logins."""

import pytest
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_api.accounts.passwords import Passwords
from slipway_core.registry.memory import InMemoryRegistry
from support.api import NAMES, PASSWORD, RunningApi, StartApi

HOME = "192.0.2.1"
WRONG = "wrong horse battery"


def test_token_is_issued_for_right_password(api: RunningApi) -> None:
    answer = api.post("/token", data={"grant_type": "password", "username": "uma", "password": PASSWORD})

    assert answer.status_code == 200
    token = answer.json()
    assert token.keys() == {"access_token", "token_type", "expires_in"}
    assert (token["token_type"], token["expires_in"]) == ("bearer", 3600)
    assert api.get("/models", token=token["access_token"]).status_code == 200


def test_token_accepts_multipart_form(api: RunningApi) -> None:
    answer = api.post("/token", files={"username": (None, "uma"), "password": (None, PASSWORD)})

    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["UMA", "Uma", " uma "])
def test_login_ignores_case_and_surrounding_spaces_of_name(api: RunningApi, name: str) -> None:
    assert api.post("/token", data={"username": name, "password": PASSWORD}).status_code == 200


def test_unknown_name_and_wrong_password_get_the_same_response(api: RunningApi) -> None:
    answers = [
        api.post(
            "/token", data={"username": name, "password": "wrong horse battery"}, headers={"X-Request-ID": "the-same"}
        )
        for name in ("unknown", NAMES[Role.USER])
    ]

    assert answers[0].status_code == 401
    assert answers[0].content == answers[1].content
    assert answers[0].headers == answers[1].headers


def test_login_rejects_overlong_password(api: RunningApi) -> None:
    answer = api.post("/token", data={"username": "uma", "password": PASSWORD + "x" * 50_000})

    assert answer.status_code == 401


def test_logins_metric_counts_outcomes(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    for password in (PASSWORD, "wrong horse battery", "wrong horse battery"):
        api.post("/token", data={"username": "uma", "password": password})

    assert api.sample("slipway_logins_total", outcome="ok") == 1
    assert api.sample("slipway_logins_total", outcome="refused") == 2


def test_log_contains_no_passwords_tokens_or_features(api: RunningApi, logs: list[EventDict]) -> None:
    token = api.post("/token", data={"username": "uma", "password": PASSWORD}).json()["access_token"]
    api.post("/token", data={"username": "uma", "password": "wrong horse battery"})
    api.post("/predict", token=token, json={"features": [5.123456, 3.5, 1.4, 0.2]})

    logged = repr(logs)
    assert "login" in logged
    assert [secret for secret in (PASSWORD, "wrong horse", token, "5.123456") if secret in logged] == []


# Failed logins


def log_in(api: RunningApi, name: str, password: str = WRONG, address: str = HOME) -> int:
    form = {"username": name, "password": password}
    return api.post("/token", data=form, client=(address, 1)).status_code


@pytest.mark.parametrize("name", ["uma", "unknown", "not a valid name!"])
def test_login_returns_429_after_ten_failures(start_api: StartApi, registry: InMemoryRegistry, name: str) -> None:
    api = start_api(registry)

    assert [log_in(api, name) for _ in range(12)] == [401] * 10 + [429] * 2

    answer = api.post("/token", data={"username": name.upper(), "password": PASSWORD}, client=(HOME, 1))
    assert answer.status_code == 429
    assert 290 <= int(answer.headers["Retry-After"]) <= 300
    assert api.sample("slipway_logins_total", outcome="throttled") == 3


def test_throttled_login_is_not_hashed(
    start_api: StartApi, registry: InMemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = start_api(registry, login_max_failures=1)
    log_in(api, "uma")
    verified: list[str] = []
    monkeypatch.setattr(Passwords, "verify", lambda _self, password, _hash: verified.append(password))

    assert [log_in(api, "uma", PASSWORD) for _ in range(3)] == [429] * 3

    assert verified == []


def test_failures_survive_restart(start_api: StartApi, registry: InMemoryRegistry) -> None:
    log_in(start_api(registry, login_max_failures=1), "uma")

    assert log_in(start_api(registry, login_max_failures=1), "uma", PASSWORD) == 429


def test_concurrent_successful_logins_are_all_accepted(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, login_max_failures=1)

    form = {"username": "uma", "password": PASSWORD}
    answers = [api.send("POST", "/token", data=form) for _ in range(6)]

    assert [answer.result(30).status_code for answer in answers] == [200] * 6


def test_lockout_event_is_recorded_once(start_api: StartApi, registry: InMemoryRegistry, logs: list[EventDict]) -> None:
    api = start_api(registry, login_max_failures=2)

    for name in ("uma", "uma", "uma", "unknown", "unknown", "unknown"):
        log_in(api, name)

    events = api.get("/users/events", role=Role.ADMIN).json()["events"]
    locked = [event for event in events if event["action"] == "login_locked"]
    assert [(event["subject_name"], event["actor_id"], event["address"]) for event in locked] == [("uma", None, HOME)]
    assert [entry["user_id"] for entry in logs if entry.get("action") == "login_locked"] == [
        str(api.accounts[Role.USER].id)
    ]


def test_wrong_current_password_counts_as_failed_login(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, login_max_failures=2)
    change = {"current_password": "wrong horse battery", "new_password": "another horse battery"}

    answers = [api.request("PUT", "/users/me/password", role=Role.USER, json=change).status_code for _ in range(3)]

    assert answers == [403, 403, 429]
    assert log_in(api, "uma", PASSWORD) == 429


def test_password_reset_by_admin_unlocks_name(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, login_max_failures=1)
    assert [log_in(api, "uma", password) for password in (PASSWORD, WRONG, WRONG)] == [200, 401, 429]

    api.request("PATCH", "/users/uma", role=Role.ADMIN, json={"password": "another horse battery"})

    assert log_in(api, "uma", "another horse battery") == 200

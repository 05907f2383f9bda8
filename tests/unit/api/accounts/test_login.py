"""`/token` and `/users`: logging in and adding accounts."""

import pytest
from jose import jwt
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import NAMES, PASSWORD, RunningApi, StartApi


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


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_bearer_scheme_is_case_insensitive(api: RunningApi, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {api.token(Role.VIEWER)}"}

    assert api.get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize("role", list(Role))
def test_every_role_may_list_models(api: RunningApi, role: Role) -> None:
    assert api.get("/models", role=role).status_code == 200


@pytest.mark.parametrize("role", [Role.USER, Role.ADMIN])
def test_users_and_admins_may_predict(api: RunningApi, role: Role) -> None:
    assert api.post("/predict", role=role, json={"features": [5.1, 3.5, 1.4, 0.2]}).status_code == 200


def test_unknown_name_and_wrong_password_get_the_same_response(api: RunningApi) -> None:
    answers = [
        api.post(
            "/token", data={"username": name, "password": "wrong horse battery"}, headers={"X-Request-ID": "the-same"}
        )
        for name in ("nobody", NAMES[Role.USER])
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


def test_added_user_can_log_in_and_predict_at_once(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    added = api.post("/users", role=Role.ADMIN, json={"username": " Alice ", "password": "another horse battery"})

    assert added.status_code == 201
    user = added.json()
    assert user.keys() == {"id", "username", "role", "disabled", "created_at"}
    assert (user["username"], user["role"], user["disabled"]) == ("alice", "user", False)
    assert user["created_at"].endswith("Z")
    token = api.post("/token", data={"username": "alice", "password": "another horse battery"}).json()["access_token"]
    assert jwt.get_unverified_claims(token)["sub"] == user["id"]
    assert api.post("/predict", token=token, json={"features": [5.1, 3.5, 1.4, 0.2]}).status_code == 200


@pytest.mark.parametrize("role", list(Role))
def test_admin_adds_user_with_each_role(start_api: StartApi, registry: InMemoryRegistry, role: Role) -> None:
    api = start_api(registry)

    added = api.post("/users", role=Role.ADMIN, json={"username": "x", "password": PASSWORD, "role": role.value})

    assert (added.status_code, added.json()["role"]) == (201, role.value)


@pytest.mark.parametrize("password", ["x7y8z9ab", "xyz" * 42 + "zz", "zażółć gęślą jaźń", "tab\tand\x00nul"])
def test_add_user_accepts_password_of_8_to_128_characters(
    start_api: StartApi, registry: InMemoryRegistry, password: str
) -> None:
    api = start_api(registry)

    added = api.post("/users", role=Role.ADMIN, json={"username": "alice", "password": password})

    assert added.status_code == 201
    assert api.post("/token", data={"username": "alice", "password": password}).status_code == 200


def test_log_contains_no_passwords_tokens_or_features(api: RunningApi, logs: list[EventDict]) -> None:
    token = api.post("/token", data={"username": "uma", "password": PASSWORD}).json()["access_token"]
    api.post("/token", data={"username": "uma", "password": "wrong horse battery"})
    api.post("/predict", token=token, json={"features": [5.123456, 3.5, 1.4, 0.2]})

    told = repr(logs)
    assert "login" in told
    assert [secret for secret in (PASSWORD, "wrong horse", token, "5.123456") if secret in told] == []

"""`POST /users`: adding accounts, as an admin and by open registration."""

import pytest
from jose import jwt

from slipway_api.accounts.models import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import PASSWORD, RunningApi, StartApi


def log_in(api: RunningApi, name: str, password: str) -> int:
    return api.post("/token", data={"username": name, "password": password}).status_code


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


@pytest.mark.parametrize("password", ["x7y8z9ab", "another horse " * 9 + "zz", "zażółć gęślą jaźń", "tab\tand\x00nul"])
def test_add_user_accepts_password_of_8_to_128_characters(
    start_api: StartApi, registry: InMemoryRegistry, password: str
) -> None:
    api = start_api(registry)

    added = api.post("/users", role=Role.ADMIN, json={"username": "alice", "password": password})

    assert added.status_code == 201
    assert api.post("/token", data={"username": "alice", "password": password}).status_code == 200


def test_add_user_rejects_name_that_is_an_id(api: RunningApi) -> None:
    name = str(api.accounts[Role.USER].id).upper()

    answer = api.post("/users", role=Role.ADMIN, json={"username": name, "password": PASSWORD})

    assert answer.status_code == 422
    assert "no account can have a UUID as its name" in answer.json()["errors"][0]["msg"]


def test_open_registration_accepts_request_without_token(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registration="open")

    added = api.post("/users", json={"username": "bea", "password": PASSWORD})

    assert (added.status_code, added.json()["role"]) == (201, "user")
    assert log_in(api, "bea", PASSWORD) == 200
    [event] = api.get("/users/events?limit=1", role=Role.ADMIN).json()["events"]
    assert (event["action"], event["actor_id"], event["subject_name"]) == ("registered", None, "bea")


def test_open_registration_lets_admin_choose_role(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registration="open")

    for number in range(12):
        body = {"username": f"bea{number}", "password": PASSWORD, "role": "viewer"}
        assert api.post("/users", role=Role.ADMIN, json=body).status_code == 201


def test_open_registration_is_throttled_by_address(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registration="open", login_max_failures=2)

    statuses = [
        api.post("/users", client=(address, 1), json={"username": f"bea{number}", "password": PASSWORD}).status_code
        for number, address in enumerate(["192.0.2.1"] * 3 + ["192.0.2.2"])
    ]

    assert statuses == [201, 201, 429, 201]

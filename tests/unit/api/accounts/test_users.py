"""`/users`: one's own account, everybody's, and what happened to them."""

import pytest
from jose import jwt
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_api.accounts.passwords import Passwords
from slipway_core.registry.memory import InMemoryRegistry
from support.api import NAMES, PASSWORD, RunningApi, StartApi

NEW = "another horse battery"


@pytest.fixture
def own(start_api: StartApi, registry: InMemoryRegistry) -> RunningApi:
    """An app whose accounts a test may change."""
    return start_api(registry)


def change(api: RunningApi, name: str, **changes: object) -> int:
    return api.request("PATCH", f"/users/{name}", role=Role.ADMIN, json=changes).status_code


def log_in(api: RunningApi, name: str, password: str) -> int:
    return api.post("/token", data={"username": name, "password": password}).status_code


def names(api: RunningApi) -> list[str]:
    return [user["username"] for user in api.get("/users", role=Role.ADMIN).json()["users"]]


@pytest.mark.parametrize("role", list(Role))
def test_everybody_is_shown_their_own_account(api: RunningApi, role: Role) -> None:
    answer = api.get("/users/me", role=role)

    assert answer.status_code == 200
    assert answer.json() == {
        "id": str(api.accounts[role].id),
        "username": NAMES[role],
        "role": role.value,
        "disabled": False,
        "created_at": answer.json()["created_at"],
    }


def test_a_new_password_ends_older_tokens_and_gives_a_fresh_one(own: RunningApi) -> None:
    older = own.token(Role.VIEWER)

    answer = own.request(
        "PUT", "/users/me/password", token=older, json={"current_password": PASSWORD, "new_password": NEW}
    )

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
    assert own.get("/models", token=older).status_code == 401
    assert own.get("/models", token=answer.json()["access_token"]).status_code == 200
    assert (log_in(own, "vic", PASSWORD), log_in(own, "vic", NEW)) == (401, 200)


def test_a_wrong_current_password_changes_nothing(own: RunningApi) -> None:
    token = own.token(Role.USER)

    answer = own.request("PUT", "/users/me/password", token=token, json={"current_password": NEW, "new_password": NEW})

    assert (answer.status_code, answer.json()["detail"]) == (403, "the current password is wrong")
    assert own.get("/models", token=token).status_code == 200
    assert own.sample("slipway_logins_total", outcome="refused") == 1


def test_who_deletes_their_own_account_is_gone_at_once(own: RunningApi) -> None:
    token = own.token(Role.USER)

    answer = own.request("DELETE", "/users/me", token=token)

    assert (answer.status_code, answer.content) == (204, b"")
    assert own.get("/models", token=token).status_code == 401
    assert log_in(own, "uma", PASSWORD) == 401
    assert names(own) == ["ada", "vic"]


def test_accounts_are_listed_in_pages(own: RunningApi) -> None:
    own.post("/users", role=Role.ADMIN, json={"username": "bea", "password": PASSWORD})
    shown: list[str] = []
    query = ""
    while True:
        page = own.get(f"/users?limit=2{query}", role=Role.ADMIN).json()
        shown += [user["username"] for user in page["users"]]
        if page["next_cursor"] is None:
            break
        query = f"&cursor={page['next_cursor']}"

    assert shown == ["ada", "bea", "uma", "vic"]


def test_a_page_that_is_just_full_is_the_last(own: RunningApi) -> None:
    assert own.get("/users?limit=3", role=Role.ADMIN).json()["next_cursor"] is None


@pytest.mark.parametrize("changes", [{"role": "viewer"}, {"disabled": True}, {"password": NEW}])
def test_a_change_ends_the_accounts_tokens_at_once(own: RunningApi, changes: dict[str, object]) -> None:
    token = own.token(Role.USER)
    assert own.get("/models", token=token).status_code == 200

    assert change(own, "uma", **changes) == 200

    assert own.get("/models", token=token).status_code == 401


def test_a_disabled_account_may_log_in_again_once_it_is_enabled_and_older_tokens_stay_refused(
    own: RunningApi,
) -> None:
    token = own.token(Role.USER)
    change(own, "uma", disabled=True)
    assert log_in(own, "uma", PASSWORD) == 401

    change(own, "uma", disabled=False)

    assert log_in(own, "uma", PASSWORD) == 200
    assert own.get("/models", token=token).status_code == 401


def test_a_change_to_what_is_already_so_ends_no_token(own: RunningApi) -> None:
    token = own.token(Role.USER)

    assert change(own, "uma", role="user", disabled=False) == 200

    assert own.get("/models", token=token).status_code == 200


def test_a_new_role_holds_at_once(own: RunningApi) -> None:
    change(own, "vic", role="user")
    token = own.post("/token", data={"username": "vic", "password": PASSWORD}).json()["access_token"]

    assert own.post("/predict", token=token, json={"features": [5.1, 3.5, 1.4, 0.2]}).status_code == 200


def test_an_admin_may_step_down_where_another_stays(own: RunningApi) -> None:
    assert change(own, "ada", role="user") == 409
    change(own, "uma", role="admin")

    assert change(own, "ada", role="user") == 200


def test_a_name_that_is_registered_again_is_another_account(own: RunningApi) -> None:
    token = own.token(Role.USER)
    assert own.request("DELETE", "/users/Uma", role=Role.ADMIN).status_code == 204

    again = own.post("/users", role=Role.ADMIN, json={"username": "uma", "password": PASSWORD})

    assert again.status_code == 201
    assert again.json()["id"] != jwt.get_unverified_claims(token)["sub"]
    assert own.get("/models", token=token).status_code == 401


def test_an_account_that_is_gone_is_erased_by_its_id(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    assert api.request("DELETE", "/users/uma", role=Role.ADMIN).status_code == 204
    path = f"/users/{api.accounts[Role.USER].id}"

    assert api.request("DELETE", path, role=Role.ADMIN).status_code == 404
    assert api.request("DELETE", f"{path}?erase=true", role=Role.ADMIN).status_code == 204

    assert "uma" not in api.get("/users/events", role=Role.ADMIN).text


def test_no_account_can_be_named_like_an_id(api: RunningApi) -> None:
    name = str(api.accounts[Role.USER].id).upper()

    answer = api.post("/users", role=Role.ADMIN, json={"username": name, "password": PASSWORD})

    assert answer.status_code == 422
    assert "no account can be named like an id (a UUID)" in answer.json()["errors"][0]["msg"]


@pytest.mark.parametrize("path", ["/users/me?erase=true", "/users/uma?erase=true"])
def test_erasing_takes_the_name_out_of_the_audit_log(own: RunningApi, path: str) -> None:
    change(own, "uma", disabled=True)
    change(own, "uma", disabled=False)
    token = own.post("/token", data={"username": "uma", "password": PASSWORD}).json()["access_token"]

    assert own.request("DELETE", path, token=token if "me" in path else own.token(Role.ADMIN)).status_code == 204

    told = own.get("/users/events", role=Role.ADMIN).text
    assert "erased" in told
    assert "uma" not in told


def test_what_happened_to_accounts_is_told_to_admins_the_newest_first(own: RunningApi) -> None:
    added = own.post("/users", role=Role.ADMIN, json={"username": "bea", "password": PASSWORD}).json()
    change(own, "bea", role="viewer")

    newest = own.get("/users/events?limit=1", role=Role.ADMIN).json()
    older = own.get(f"/users/events?limit=1&cursor={newest['next_cursor']}", role=Role.ADMIN).json()

    [event] = newest["events"]
    assert event == {
        "id": event["id"],
        "at": event["at"],
        "actor_id": str(own.accounts[Role.ADMIN].id),
        "subject_id": added["id"],
        "subject_name": "bea",
        "action": "role_changed",
        "address": "127.0.0.1",
        "details": {"before": "user", "after": "viewer"},
    }
    assert event["at"].endswith("Z")
    assert [one["action"] for one in older["events"]] == ["registered"]


def test_the_log_tells_of_accounts_by_their_ids_only(own: RunningApi, logs: list[EventDict]) -> None:
    added = own.post("/users", role=Role.ADMIN, json={"username": "beatrice", "password": PASSWORD}).json()
    change(own, "beatrice", password=NEW)
    own.request("DELETE", "/users/beatrice?erase=true", role=Role.ADMIN)

    told = [entry for entry in logs if entry["event"] == "account_event"]
    assert [entry["action"] for entry in told] == ["registered", "password_reset", "deleted", "erased"]
    assert {(entry["user_id"], entry["by"]) for entry in told} == {(added["id"], str(own.accounts[Role.ADMIN].id))}
    assert [secret for secret in ("beatrice", PASSWORD, NEW) if secret in repr(told)] == []


def test_where_registration_is_open_anybody_may_register_as_a_user(
    start_api: StartApi, registry: InMemoryRegistry
) -> None:
    api = start_api(registry, registration="open")

    added = api.post("/users", json={"username": "bea", "password": PASSWORD})

    assert (added.status_code, added.json()["role"]) == (201, "user")
    assert log_in(api, "bea", PASSWORD) == 200
    [event] = api.get("/users/events?limit=1", role=Role.ADMIN).json()["events"]
    assert (event["action"], event["actor_id"], event["subject_name"]) == ("registered", None, "bea")


def test_where_registration_is_open_an_admin_still_gives_any_role(
    start_api: StartApi, registry: InMemoryRegistry
) -> None:
    api = start_api(registry, registration="open")

    for number in range(12):
        body = {"username": f"bea{number}", "password": PASSWORD, "role": "viewer"}
        assert api.post("/users", role=Role.ADMIN, json=body).status_code == 201


def test_anybody_may_register_so_often_only(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registration="open", login_max_failures=2)

    statuses = [
        api.post("/users", client=(address, 1), json={"username": f"bea{number}", "password": PASSWORD}).status_code
        for number, address in enumerate(["192.0.2.1"] * 3 + ["192.0.2.2"])
    ]

    assert statuses == [201, 201, 429, 201]


def test_a_hash_of_older_parameters_is_renewed_at_login(own: RunningApi) -> None:
    weak = Passwords()
    weak._context = weak._context.using(argon2__time_cost=1)
    own.services.accounts.store.renew_hash(
        own.accounts[Role.USER], stored_hash(own, "uma"), own.portal.call(weak.hash, PASSWORD)
    )
    weak.close()
    assert "t=1," in stored_hash(own, "uma")
    token = own.token(Role.USER)

    assert log_in(own, "uma", PASSWORD) == 200

    assert "t=2," in stored_hash(own, "uma")
    assert log_in(own, "uma", PASSWORD) == 200
    assert own.get("/models", token=token).status_code == 200


def stored_hash(api: RunningApi, name: str) -> str:
    found = api.services.accounts.store.find(name)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_what_an_account_does_not_take_is_told(api: RunningApi, method: str) -> None:
    assert api.request(method, "/users/uma", role=Role.ADMIN).status_code == 405


@pytest.mark.parametrize("name", ["me", "events"])
def test_a_reserved_name_is_told_to_be_nobodys(api: RunningApi, name: str) -> None:
    answer = api.request("PATCH", f"/users/{name}", role=Role.ADMIN, json={"role": "user"})

    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(f"no account is named {name}; name the one that is meant")

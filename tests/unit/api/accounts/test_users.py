"""`/users`: one's own account, the administration of accounts, and the audit log."""

import uuid
from collections.abc import Callable

import pytest
from jose import jwt
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_api.accounts.passwords import Passwords
from slipway_api.accounts.store import AccountStore
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
def test_show_me_returns_own_account_for_each_role(api: RunningApi, role: Role) -> None:
    answer = api.get("/users/me", role=role)

    assert answer.status_code == 200
    assert answer.json() == {
        "id": str(api.accounts[role].id),
        "username": NAMES[role],
        "role": role.value,
        "disabled": False,
        "created_at": answer.json()["created_at"],
    }


def test_password_change_revokes_older_tokens(own: RunningApi) -> None:
    older = own.token(Role.VIEWER)

    answer = own.request(
        "PUT", "/users/me/password", token=older, json={"current_password": PASSWORD, "new_password": NEW}
    )

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
    assert own.get("/models", token=older).status_code == 401
    assert own.get("/models", token=answer.json()["access_token"]).status_code == 200
    assert (log_in(own, "vic", PASSWORD), log_in(own, "vic", NEW)) == (401, 200)


def test_password_change_rejects_wrong_current_password(own: RunningApi) -> None:
    token = own.token(Role.USER)

    answer = own.request("PUT", "/users/me/password", token=token, json={"current_password": NEW, "new_password": NEW})

    assert (answer.status_code, answer.json()["detail"]) == (403, "the current password is wrong")
    assert own.get("/models", token=token).status_code == 200
    assert own.sample("slipway_logins_total", outcome="refused") == 1


def test_deleting_own_account_takes_effect_at_once(own: RunningApi) -> None:
    token = own.token(Role.USER)

    answer = own.request("DELETE", "/users/me", token=token)

    assert (answer.status_code, answer.content) == (204, b"")
    assert own.get("/models", token=token).status_code == 401
    assert log_in(own, "uma", PASSWORD) == 401
    assert names(own) == ["ada", "vic"]


def test_users_are_listed_in_pages(own: RunningApi) -> None:
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


def test_exactly_full_page_has_no_next_cursor(own: RunningApi) -> None:
    assert own.get("/users?limit=3", role=Role.ADMIN).json()["next_cursor"] is None


@pytest.mark.parametrize("changes", [{"role": "viewer"}, {"disabled": True}, {"password": NEW}])
def test_change_revokes_tokens_at_once(own: RunningApi, changes: dict[str, object]) -> None:
    token = own.token(Role.USER)
    assert own.get("/models", token=token).status_code == 200

    assert change(own, "uma", **changes) == 200

    assert own.get("/models", token=token).status_code == 401


def test_enabling_account_allows_login_but_not_older_tokens(
    own: RunningApi,
) -> None:
    token = own.token(Role.USER)
    change(own, "uma", disabled=True)
    assert log_in(own, "uma", PASSWORD) == 401

    change(own, "uma", disabled=False)

    assert log_in(own, "uma", PASSWORD) == 200
    assert own.get("/models", token=token).status_code == 401


def test_change_without_difference_keeps_tokens_valid(own: RunningApi) -> None:
    token = own.token(Role.USER)

    assert change(own, "uma", role="user", disabled=False) == 200

    assert own.get("/models", token=token).status_code == 200


def test_new_role_takes_effect_at_once(own: RunningApi) -> None:
    change(own, "vic", role="user")
    token = own.post("/token", data={"username": "vic", "password": PASSWORD}).json()["access_token"]

    assert own.post("/predict", token=token, json={"features": [5.1, 3.5, 1.4, 0.2]}).status_code == 200


def test_admin_may_resign_while_another_admin_remains(own: RunningApi) -> None:
    assert change(own, "ada", role="user") == 409
    change(own, "uma", role="admin")

    assert change(own, "ada", role="user") == 200


def test_reused_name_belongs_to_a_new_account(own: RunningApi) -> None:
    token = own.token(Role.USER)
    assert own.request("DELETE", "/users/Uma", role=Role.ADMIN).status_code == 204

    again = own.post("/users", role=Role.ADMIN, json={"username": "uma", "password": PASSWORD})

    assert again.status_code == 201
    assert again.json()["id"] != jwt.get_unverified_claims(token)["sub"]
    assert own.get("/models", token=token).status_code == 401


@pytest.mark.parametrize("form", [str, lambda user_id: user_id.hex], ids=["hyphens", "hexadecimal"])
def test_deleted_account_is_erased_by_id(own: RunningApi, form: Callable[[uuid.UUID], str]) -> None:
    user_id = own.accounts[Role.USER].id
    namesake = own.app.state.accounts.directory.store.add(form(user_id), "hash", Role.USER)
    path = f"/users/{form(user_id).upper()}"
    assert own.request("DELETE", f"{path}?erase=true", role=Role.ADMIN).status_code == 404
    assert own.request("DELETE", "/users/uma", role=Role.ADMIN).status_code == 204

    assert own.request("DELETE", f"{path}?erase=true", role=Role.ADMIN).status_code == 204

    events = own.get("/users/events", role=Role.ADMIN).json()["events"]
    assert {e["subject_name"] for e in events if e["subject_id"] == str(user_id)} == {None}
    assert own.request("DELETE", f"{path}?erase=true", role=Role.ADMIN).status_code == 404  # a repeated request
    assert own.app.state.accounts.directory.store.get(namesake.id) is not None
    assert own.request("DELETE", path, role=Role.ADMIN).status_code == 204  # without erase, it is a name
    assert own.app.state.accounts.directory.store.get(namesake.id) is None


@pytest.mark.parametrize("text", ["{%s}", "urn:uuid:%s"])
def test_erase_accepts_ids_without_decoration_only(own: RunningApi, text: str) -> None:
    own.request("DELETE", "/users/uma", role=Role.ADMIN)

    answer = own.request("DELETE", f"/users/{text % own.accounts[Role.USER].id}?erase=true", role=Role.ADMIN)

    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/users/me?erase=true", "/users/uma?erase=true"])
def test_erasing_removes_name_from_audit_log(own: RunningApi, path: str) -> None:
    change(own, "uma", disabled=True)
    change(own, "uma", disabled=False)
    token = own.post("/token", data={"username": "uma", "password": PASSWORD}).json()["access_token"]

    assert own.request("DELETE", path, token=token if "me" in path else own.token(Role.ADMIN)).status_code == 204

    events = own.get("/users/events", role=Role.ADMIN).text
    assert "erased" in events
    assert "uma" not in events


def test_events_are_listed_newest_first(own: RunningApi) -> None:
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


def test_log_names_accounts_by_id_only(own: RunningApi, logs: list[EventDict]) -> None:
    added = own.post("/users", role=Role.ADMIN, json={"username": "beatrice", "password": PASSWORD}).json()
    change(own, "beatrice", password=NEW)
    own.request("DELETE", "/users/beatrice?erase=true", role=Role.ADMIN)

    logged = [entry for entry in logs if entry["event"] == "account_event"]
    assert [entry["action"] for entry in logged] == ["registered", "password_reset", "deleted", "erased"]
    assert {(entry["user_id"], entry["by"]) for entry in logged} == {(added["id"], str(own.accounts[Role.ADMIN].id))}
    assert [secret for secret in ("beatrice", PASSWORD, NEW) if secret in repr(logged)] == []


def test_login_renews_hash_with_outdated_parameters(own: RunningApi) -> None:
    weak = Passwords()
    weak._context = weak._context.using(argon2__time_cost=1)
    own.app.state.accounts.directory.store.renew_hash(
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
    store: AccountStore = api.app.state.accounts.directory.store
    found = store.find(name)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_unsupported_method_of_user_returns_405(api: RunningApi, method: str) -> None:
    assert api.request(method, "/users/uma", role=Role.ADMIN).status_code == 405


@pytest.mark.parametrize("name", ["me", "events"])
def test_reserved_name_returns_404(api: RunningApi, name: str) -> None:
    answer = api.request("PATCH", f"/users/{name}", role=Role.ADMIN, json={"role": "user"})

    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(f"no account is named {name}, which is a reserved name")

"""Requests whose user is revoked while the body arrives: they get the same response as later requests."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.models import Role
from slipway_api.accounts.store import AccountStore
from slipway_core.registry.memory import InMemoryRegistry
from support.api import PASSWORD, RunningApi, StartApi
from support.bundles import bundle_files, register

ENDED = (401, "the token is no longer valid; get a new one from POST /token")
SETOSA = [5.1, 3.5, 1.4, 0.2]

ENDS: dict[str, Callable[[AccountStore, str], object]] = {
    "disabled": lambda store, name: store.change(name, actor=AuditActor(), disabled=True),
    "demoted": lambda store, name: store.change(name, actor=AuditActor(), role=Role.VIEWER),
    "deleted": lambda store, name: store.delete_by_name(name, actor=AuditActor()),
}


@pytest.fixture
def own(start_api: StartApi, registry: InMemoryRegistry) -> RunningApi:
    """Run an app whose accounts a test may change, with a second admin, bea."""
    api = start_api(registry)
    new = {"username": "bea", "password": PASSWORD, "role": "admin"}
    assert api.post("/users", role=Role.ADMIN, json=new).status_code == 201
    return api


def log_in(api: RunningApi, name: str) -> str:
    token: str = api.post("/token", data={"username": name, "password": PASSWORD}).json()["access_token"]
    return token


def held(api: RunningApi, method: str, path: str, token: str, body: object, meanwhile: Callable[[], object]) -> object:
    """Send a request whose body arrives in two parts, call a function between them, and return the response."""
    content = json.dumps(body).encode()

    def parts() -> Iterator[bytes]:
        yield content[:5]
        meanwhile()
        yield content[5:]

    answer = api.request(method, path, token=token, chunks=parts(), headers={"Content-Type": "application/json"})
    return outcome(answer)


def outcome(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("detail") if answer.content else None


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/users", {"username": "eve", "password": PASSWORD, "role": "admin"}),
        ("PATCH", "/users/uma", {"role": "admin"}),
        ("PATCH", "/users/uma", {"password": "another horse battery"}),
        ("PATCH", "/users/bea", {"disabled": False, "role": "admin"}),
    ],
    ids=["add user", "change user", "set password", "restore itself"],
)
def test_admin_revoked_during_upload_changes_no_account(
    own: RunningApi, end: str, method: str, path: str, body: object
) -> None:
    store = own.app.state.accounts.directory.store
    token = log_in(own, "bea")

    answer = held(own, method, path, token, body, lambda: ENDS[end](store, "bea"))

    assert answer == ENDED
    admins = [
        known.name for known in store.snapshot().accounts.values() if known.role is Role.ADMIN and not known.disabled
    ]
    assert admins == ["ada"]


def test_password_reset_by_admin_overrides_pending_change(own: RunningApi) -> None:
    store, token = own.app.state.accounts.directory.store, log_in(own, "uma")
    body = {"current_password": PASSWORD, "new_password": "another horse battery"}
    found = store.find("uma")
    assert found is not None

    # The password hash is unchanged; only the account's version shows the reset.
    answer = held(
        own,
        "PUT",
        "/users/me/password",
        token,
        body,
        lambda: store.change("uma", actor=AuditActor(), password_hash=found[1]),
    )

    assert answer == ENDED
    assert log_in(own, "uma")


def test_demoted_user_with_older_token_deletes_no_account(own: RunningApi) -> None:
    store, token = own.app.state.accounts.directory.store, log_in(own, "bea")
    own.get("/users/me", token=token)

    store.change("bea", actor=AuditActor(), role=Role.USER)

    assert outcome(own.request("DELETE", "/users/me", token=token)) == ENDED
    assert store.find("bea") is not None


def test_registration_fails_if_token_is_revoked_during_upload(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registration="open")
    store, token = api.app.state.accounts.directory.store, api.token(Role.USER)
    body = {"username": "eve", "password": PASSWORD}

    assert held(api, "POST", "/users", token, body, lambda: store.delete_by_name("uma", actor=AuditActor())) == ENDED

    assert store.find("eve") is None


@pytest.mark.parametrize("end", ENDS)
def test_key_of_admin_revoked_during_upload_promotes_nothing(
    own: RunningApi, registry: InMemoryRegistry, end: str
) -> None:
    key = own.post("/keys", token=log_in(own, "bea"), json={"name": "ci", "actions": ["promote"]}).json()["key"]
    version = register(registry, bundle_files())
    before = registry.get_model("iris")
    accounts = own.app.state.accounts.directory

    def meanwhile() -> None:
        ENDS[end](accounts.store, "bea")
        accounts.refresh()

    answer = held(own, "POST", "/models/iris/promote", key, {"version": version}, meanwhile)

    assert isinstance(answer, tuple)
    assert answer[0] == 401
    assert registry.get_model("iris") == before


@pytest.mark.parametrize("end", ENDS)
def test_feedback_of_user_revoked_during_upload_is_rejected(own: RunningApi, end: str) -> None:
    token = log_in(own, "uma")
    identity = own.post("/predict", token=token, json={"features": SETOSA}).json()["id"]
    own.ship()
    accounts = own.app.state.accounts.directory

    def meanwhile() -> None:
        ENDS[end](accounts.store, "uma")
        accounts.refresh()

    assert held(own, "POST", f"/predictions/{identity}/feedback", token, {"label": "setosa"}, meanwhile) == ENDED

    assert own.get(f"/predictions/{identity}", role=Role.ADMIN).json()["feedback"] == []

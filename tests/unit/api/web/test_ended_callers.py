"""Callers whose account is disabled, demoted or deleted while their request body arrives."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from slipway_api.accounts.directory import AccountStore
from slipway_api.accounts.events import Actor
from slipway_api.accounts.models import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import PASSWORD, RunningApi, StartApi

ENDED = (401, "the token is no longer valid; get a new one from POST /token")
SETOSA = [5.1, 3.5, 1.4, 0.2]

ENDS: dict[str, Callable[[AccountStore, str], object]] = {
    "disabled": lambda store, name: store.change(name, by=Actor(), disabled=True),
    "demoted": lambda store, name: store.change(name, by=Actor(), role=Role.VIEWER),
    "deleted": lambda store, name: store.delete(name, by=Actor()),
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
    return told(answer)


def told(answer: httpx.Response) -> tuple[int, str | None]:
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
def test_admin_disabled_during_upload_changes_no_account(
    own: RunningApi, end: str, method: str, path: str, body: object
) -> None:
    store = own.services.accounts.store
    token = log_in(own, "bea")

    answer = held(own, method, path, token, body, lambda: ENDS[end](store, "bea"))

    assert answer == ENDED
    admins = [known.name for known in store.snapshot().values() if known.role is Role.ADMIN and not known.disabled]
    assert admins == ["ada"]


def test_password_reset_ends_requests_of_the_old_password(own: RunningApi) -> None:
    store, token = own.services.accounts.store, log_in(own, "uma")
    body = {"current_password": PASSWORD, "new_password": "another horse battery"}
    found = store.find("uma")
    assert found is not None

    # The password hash is unchanged; only the account's version shows the reset.
    answer = held(
        own, "PUT", "/users/me/password", token, body, lambda: store.change("uma", by=Actor(), password_hash=found[1])
    )

    assert answer == ENDED
    assert log_in(own, "uma")


def test_user_demoted_by_another_worker_cannot_delete_account(own: RunningApi) -> None:
    store, token = own.services.accounts.store, log_in(own, "bea")
    own.get("/users/me", token=token)

    store.change("bea", by=Actor(), role=Role.USER)

    assert told(own.request("DELETE", "/users/me", token=token)) == ENDED
    assert store.find("bea") is not None


def test_registration_of_a_deleted_user_is_rejected(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registration="open")
    store, token = api.services.accounts.store, api.token(Role.USER)
    body = {"username": "eve", "password": PASSWORD}

    assert held(api, "POST", "/users", token, body, lambda: store.delete("uma", by=Actor())) == ENDED

    assert store.find("eve") is None


@pytest.mark.parametrize("end", ENDS)
def test_feedback_of_an_ended_account_is_rejected(own: RunningApi, end: str) -> None:
    token = log_in(own, "uma")
    identity = own.post("/predict", token=token, json={"features": SETOSA}).json()["id"]
    own.ship()
    accounts = own.services.accounts

    def meanwhile() -> None:
        ENDS[end](accounts.store, "uma")
        accounts.refresh()

    assert held(own, "POST", f"/predictions/{identity}/feedback", token, {"label": "setosa"}, meanwhile) == ENDED

    assert own.get(f"/predictions/{identity}", role=Role.ADMIN).json()["feedback"] == []

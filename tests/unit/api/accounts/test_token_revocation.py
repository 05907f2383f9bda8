"""`POST /token/revoke`: one token, all tokens of an account, and a restart without a database."""

import asyncio
from pathlib import Path

import pytest

from slipway_api.accounts.models import Role
from slipway_api.accounts.snapshot_file import SNAPSHOT_FILE
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.waiting import wait_for


@pytest.fixture
def app(start_api: StartApi, registry: InMemoryRegistry) -> RunningApi:
    return start_api(registry)


def is_accepted(api: RunningApi, token: str) -> bool:
    return api.get("/models", token=token).status_code == 200


@pytest.mark.parametrize("body", [{}, {"json": {}}, {"json": {"all": False}}])
def test_only_the_presented_token_is_revoked(app: RunningApi, body: dict[str, object]) -> None:
    token, other = app.token(Role.USER), app.token(Role.USER)

    assert app.post("/token/revoke", token=token, **body).status_code == 204

    assert (is_accepted(app, token), is_accepted(app, other)) == (False, True)
    assert app.post("/token/revoke", token=token).status_code == 401
    events = app.get("/users/events", role=Role.ADMIN).json()["events"]
    assert (events[0]["action"], events[0]["subject_name"]) == ("token_revoked", "uma")


def test_all_tokens_are_revoked_and_keys_stay(app: RunningApi) -> None:
    token, other, admins = app.token(Role.USER), app.token(Role.USER), app.token(Role.ADMIN)
    key = app.post("/keys", token=token, json={"name": "scores", "actions": ["read"]}).json()["key"]

    assert app.post("/token/revoke", token=token, json={"all": True}).status_code == 204

    assert [is_accepted(app, one) for one in (token, other, admins, key)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("role", "name", "status"),
    [(Role.ADMIN, "uma", 204), (Role.USER, "uma", 204), (Role.ADMIN, "zoe", 404), (Role.VIEWER, "uma", 403)],
)
def test_admin_revokes_all_tokens_of_another_account(app: RunningApi, role: Role, name: str, status: int) -> None:
    token, by = app.token(Role.USER), app.token(role)

    assert app.post("/token/revoke", token=by, json={"all": True, "username": name}).status_code == status

    assert is_accepted(app, token) == (status != 204)


@pytest.mark.parametrize("body", [{"all": 1}, {"every": True}, [True], {"username": "uma"}])
def test_other_bodies_are_rejected(app: RunningApi, body: object) -> None:
    token = app.token(Role.USER)

    assert app.post("/token/revoke", token=token, json=body).status_code == 422
    assert is_accepted(app, token)


def test_revoked_token_changes_no_account_in_another_worker(app: RunningApi) -> None:
    """A worker that has not read the revocation yet rejects a change in its transaction."""
    token = app.token(Role.ADMIN)
    assert app.post("/token/revoke", token=token).status_code == 204
    directory = app.app.state.accounts.directory

    async def forget() -> None:
        directory._revoked.rows = {}

    asyncio.run(forget())

    answer = app.request("PATCH", "/users/uma", token=token, json={"role": "viewer"})

    assert answer.status_code == 401
    assert app.get("/users/me", role=Role.USER).json()["role"] == "user"


def test_restart_without_database_keeps_the_revocation(
    app: RunningApi, start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path
) -> None:
    token, other = app.token(Role.USER), app.token(Role.USER)
    assert app.post("/token/revoke", token=token).status_code == 204
    file = tmp_path / "api" / "cache" / SNAPSHOT_FILE
    (token_id,) = app.app.state.accounts.directory.snapshot().revoked
    wait_for(lambda: file.exists() and str(token_id) in file.read_text(), what="the snapshot")

    away = start_api(registry, database_url=f"sqlite:///{tmp_path / 'nowhere' / 'slipway.db'}")

    assert (is_accepted(away, token), is_accepted(away, other)) == (False, True)

"""The authentication of requests by their bearer token, through the app."""

from dataclasses import replace

import pytest
from sqlalchemy import text, update

from slipway_api.accounts.models import Role
from slipway_core.database import connect
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.tables import users
from support.api import NAMES, PASSWORD, RunningApi, StartApi
from support.waiting import wait_for


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


def test_disabling_in_database_takes_effect_within_five_seconds(
    start_api: StartApi, registry: InMemoryRegistry
) -> None:
    api = start_api(registry)
    token = api.token(Role.USER)
    assert api.get("/models", token=token).status_code == 200
    engine = connect(api.settings.database_url.get_secret_value())

    with engine.begin() as connection:
        connection.execute(
            update(users).where(users.c.name == NAMES[Role.USER]).values(disabled=True, version=users.c.version + 1)
        )
    engine.dispose()

    wait_for(lambda: api.get("/models", token=token).status_code == 401, seconds=5, what="the rejection")
    answer = api.post("/token", data={"username": NAMES[Role.USER], "password": PASSWORD})
    assert (answer.status_code, answer.json()["detail"]) == (401, "the username or the password is wrong")


def test_authorization_uses_role_of_account_instead_of_token(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    viewer_as_admin = replace(api.accounts[Role.VIEWER], role=Role.ADMIN)

    answer = api.post("/models/iris/reload", token=api.app.state.accounts.tokens.issue(viewer_as_admin))

    assert answer.status_code == 403


def test_tokens_stay_valid_while_database_is_unavailable(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    engine = connect(api.settings.database_url.get_secret_value())
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE users"))
    engine.dispose()

    assert not api.app.state.accounts.directory.refresh()

    assert api.get("/models", role=Role.USER).status_code == 200
    answer = api.post("/token", data={"username": NAMES[Role.USER], "password": PASSWORD})
    assert answer.status_code == 503

"""API keys through the app: their rights on every route, their headers, and how they end."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from structlog.typing import EventDict

from slipway_api.accounts.key_repository import MAX_KEYS_OF_ACCOUNT
from slipway_api.accounts.models import Role
from slipway_api.accounts.snapshot_file import SNAPSHOT_FILE
from slipway_api.web.dependencies import Permit, logged_in_user
from slipway_api.web.routers.scoring import reader_unless_sagemaker
from slipway_api.web.routers.users import registrar
from slipway_api.web.routes import PREDICTION_PATHS
from slipway_core.registry.memory import InMemoryRegistry
from support.api import LOOPBACK, Database, RunningApi, StartApi, running_api
from support.bundles import bundle_files, register, regression_files
from support.waiting import wait_for

ROW = {"features": [5.1, 3.5, 1.4, 0.2]}
ACTIONS = ("predict", "read", "feedback", "reload", "promote")
PUBLIC, NO_KEYS = "public", "no keys"
# What a key needs for each operation. A new route must be added here, and is denied to keys unless it has a `Permit`.
NEEDED = {
    "GET /": PUBLIC,
    "GET /health/live": PUBLIC,
    "GET /health/ready": PUBLIC,
    "GET /metrics": PUBLIC,
    "GET /v2": PUBLIC,
    "GET /v2/health/live": PUBLIC,
    "GET /v2/health/ready": PUBLIC,
    "POST /token": PUBLIC,
    "POST /token/revoke": NO_KEYS,
    "POST /users": NO_KEYS,
    "GET /users": NO_KEYS,
    "GET /users/events": NO_KEYS,
    "GET /users/me": NO_KEYS,
    "DELETE /users/me": NO_KEYS,
    "PUT /users/me/password": NO_KEYS,
    "PATCH /users/{name}": NO_KEYS,
    "DELETE /users/{name}": NO_KEYS,
    "POST /keys": NO_KEYS,
    "GET /keys": NO_KEYS,
    "DELETE /keys/{id}": NO_KEYS,
    "POST /predict": "predict",
    "POST /models/{name}/predict": "predict",
    "POST /models/{name}/versions/{version}/predict": "predict",
    "POST /invocations": "predict",
    "POST /v1/models/{name}:predict": "predict",
    "POST /v2/models/{name}/infer": "predict",
    "POST /v2/models/{name}/versions/{version}/infer": "predict",
    "GET /ping": "read",
    "GET /model-info": "read",
    "GET /models": "read",
    "GET /models/{name}": "read",
    "GET /models/{name}/versions/{version}": "read",
    "GET /v1/models": "read",
    "GET /v1/models/{name}": "read",
    "GET /v2/models/{name}": "read",
    "GET /v2/models/{name}/ready": "read",
    "GET /v2/models/{name}/versions/{version}": "read",
    "GET /v2/models/{name}/versions/{version}/ready": "read",
    "GET /predictions": "read",
    "GET /predictions/{id}": "read",
    "POST /predictions/{id}/feedback": "feedback",
    "POST /models/{name}/reload": "reload",
    "POST /models/{name}/staging/predict": "predict",
    "POST /models/{name}/candidates/{candidate}/predict": "predict",
    "POST /endpoints/{name}/invocations": "predict",
    "GET /models/{name}/staging": "read",
    "GET /models/{name}/candidates": "read",
    "GET /models/{name}/candidates/{candidate}": "read",
    "GET /models/{name}/history": "read",
    "POST /models/{name}/promote": "promote",
    "POST /models/{name}/rollback": "promote",
}
WITH_KEYS = {call: needed for call, needed in NEEDED.items() if needed in ACTIONS}
# These return only what the key's models permit, instead of 403.
FILTERED = {"GET /models", "GET /v1/models", "GET /ping", "GET /predictions"}


# Public pages that OpenAPI does not list.
PAGES = {"/docs", "/docs/oauth2-redirect", "/openapi.json", "/static-offline-docs"}


def every_route(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Return the routes of an app, also those of its routers."""
    for route in routes:
        router = getattr(route, "original_router", None)
        yield from [route] if router is None else every_route(router.routes)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[RunningApi]:
    """Run an app with the models iris and demand, whose accounts may get any number of keys."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    register(registry, regression_files(), "demand", promote=True)
    with running_api(tmp_path_factory.mktemp("keys"), registry, database, registry_poll_seconds=3_600) as api:
        yield api


def create(api: RunningApi, role: Role = Role.ADMIN, **fields: object) -> dict[str, Any]:
    """Create a key and return the response's body."""
    answer = api.post("/keys", role=role, json={"name": "scores", **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture(scope="module")
def key_of(served: RunningApi) -> Callable[..., str]:
    """Return a function that creates a key with actions and models once, and returns its text."""
    made: dict[str, str] = {}

    def get(role: Role = Role.ADMIN, **fields: object) -> str:
        name = f"{role} {fields}"
        if name not in made:
            made[name] = create(served, role, **fields)["key"]
        return made[name]

    return get


def ask(api: RunningApi, call: str, key: str, **request: Any) -> httpx.Response:
    method, path = call.split(" ")
    for parameter, value in (("{name}", "iris"), ("{version}", "1"), ("{id}", "0" * 8 + "-0000" * 3 + "-" + "0" * 12)):
        path = path.replace(parameter, value)
    return api.request(method, path, headers={"X-API-Key": key}, **request)


# Rights


def test_table_covers_every_operation(served: RunningApi) -> None:
    document = served.get("/openapi.json").json()

    assert {f"{method.upper()} {path}" for path, found in document["paths"].items() for method in found} == set(NEEDED)
    assert {f"POST {path.path}" for path in PREDICTION_PATHS} <= set(NEEDED)


def test_every_route_declares_what_a_key_needs(served: RunningApi) -> None:
    def declared(route: APIRoute) -> set[str]:
        found = set()
        waiting = [route.dependant]
        while waiting:
            one = waiting.pop()
            waiting += one.dependencies
            if isinstance(one.call, Permit):
                found.add(str(one.call.action))
            elif one.call in {logged_in_user, registrar}:
                found.add(NO_KEYS)
            elif one.call is reader_unless_sagemaker:
                found.add("read")
        return found or {PUBLIC}

    routes = list(every_route(served.app.routes))
    operations = [route for route in routes if isinstance(route, APIRoute) and route.include_in_schema]
    actual = {f"{method} {route.path}": declared(route) for route in operations for method in route.methods or ()}

    predictions = {f"POST {path.path}" for path in PREDICTION_PATHS}
    assert actual == {call: {needed} for call, needed in NEEDED.items() if call not in predictions}
    assert {getattr(route, "path", "") for route in routes if route not in operations} == PAGES


@pytest.mark.parametrize(("call", "needed"), NEEDED.items(), ids=NEEDED)
def test_key_without_the_action_is_rejected(
    served: RunningApi, key_of: Callable[..., str], call: str, needed: str
) -> None:
    answer = ask(served, call, key_of(actions=[action for action in ACTIONS if action != needed]))

    if needed == PUBLIC:
        assert answer.status_code not in {401, 403}
    else:
        assert answer.status_code == 403, answer.text
        expected = "an API key cannot do this" if needed == NO_KEYS else f"use a key with the action {needed}"
        assert expected in answer.text


@pytest.mark.parametrize("call", WITH_KEYS)
def test_key_with_the_action_and_the_model_is_accepted(
    served: RunningApi, key_of: Callable[..., str], call: str
) -> None:
    answer = ask(served, call, key_of(actions=[WITH_KEYS[call]], models=["iris"]), json=ROW)

    # Some of these requests are not valid otherwise.
    assert answer.status_code not in {401, 403}, answer.text


@pytest.mark.parametrize("call", WITH_KEYS)
def test_key_for_another_model_is_rejected(served: RunningApi, key_of: Callable[..., str], call: str) -> None:
    served.post("/predict", role=Role.ADMIN, json=ROW)

    answer = ask(served, call, key_of(actions=list(ACTIONS), models=["demand", "rose"]), json=ROW)

    if "{id}" in call:
        assert answer.status_code in {404, 422}
    elif call in FILTERED:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 403
        assert "this API key permits only the models demand, rose; use another key" in answer.text
    assert '"iris"' not in answer.text


def test_filtered_lists_show_permitted_models(served: RunningApi, key_of: Callable[..., str]) -> None:
    key = key_of(actions=["read"], models=["demand"])

    assert [model["model_name"] for model in ask(served, "GET /models", key).json()["models"]] == ["demand"]
    assert ask(served, "GET /v1/models", key).json() == {"models": ["demand"]}
    assert ask(served, "GET /predictions?model=iris", key).status_code == 403


def test_key_reads_and_corrects_predictions_of_its_models_only(served: RunningApi, key_of: Callable[..., str]) -> None:
    made = ask(served, "POST /predict", key_of(Role.USER, actions=["predict"]), json=ROW).json()
    reader, other = (key_of(Role.USER, actions=["read", "feedback"], models=[name]) for name in ("iris", "demand"))
    path = f"/predictions/{made['id']}"
    assert served.ship()
    assert ask(served, f"GET {path}", reader).status_code == 200

    shown = ask(served, "GET /predictions", reader).json()["predictions"]
    assert made["id"] in [one["id"] for one in shown]
    assert {one["user_id"] for one in shown} == {str(served.accounts[Role.USER].id)}
    assert ask(served, "GET /predictions", other).json()["predictions"] == []
    assert ask(served, f"GET {path}", other).status_code == 404
    feedback = {"label": made["label"][0]}
    assert ask(served, f"POST {path}/feedback", other, json=feedback).status_code == 404
    assert ask(served, f"POST {path}/feedback", reader, json=feedback).status_code == 201


@pytest.mark.parametrize(
    ("role", "permitted"),
    [(Role.VIEWER, {"read"}), (Role.USER, {"read", "predict", "feedback"}), (Role.ADMIN, set(ACTIONS))],
)
def test_key_permits_no_more_than_the_role(served: RunningApi, role: Role, permitted: set[str]) -> None:
    for action in ACTIONS:
        answer = served.post("/keys", role=role, json={"name": "scores", "actions": [action]})
        assert answer.status_code == (201 if action in permitted else 403), action


def test_registration_with_a_key_is_rejected(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, registration="open")
    new = {"username": "bea", "password": "correct horse battery"}

    assert ask(api, "POST /users", create(api)["key"], json=new).status_code == 403


# Headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": "KEY"}, 200),
        ({"Authorization": "Bearer KEY"}, 200),
        ({"Authorization": "bearer KEY", "X-API-Key": "KEY"}, 200),
        ({"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": "KEY"}, 200),
        ({"Authorization": "Bearer TOKEN", "X-API-Key": "KEY"}, 401),
        ({"Authorization": "Bearer KEY", "X-API-Key": "OTHER"}, 401),
        ({"X-API-Key": "TOKEN"}, 401),
        ({"X-API-Key": "slk_"}, 401),
        ({"X-API-Key": "KEYx"}, 401),
        ({"X-API-Key": "slk_" + "0" * 32 + "_" + "A" * 54}, 401),
        ({"X-API-Key": "slk_" + "é" * 60}, 401),
    ],
)
@pytest.mark.parametrize("path", ["/models", "/predict"])
def test_credential_comes_from_one_header(
    served: RunningApi, key_of: Callable[..., str], headers: dict[str, str], status: int, path: str
) -> None:
    texts = {
        "KEY": key_of(actions=["predict", "read"]),
        "OTHER": key_of(actions=["read"]),
        "TOKEN": served.token(Role.ADMIN),
    }
    given = {
        name: " ".join(texts.get(part, part.replace("KEYx", texts["KEY"] + "x")) for part in text.split(" ")).encode()
        for name, text in headers.items()
    }

    answer = served.request("POST" if path == "/predict" else "GET", path, headers=given, json=ROW)

    assert answer.status_code == status, answer.text
    if len(headers) == 2 and status == 401:
        assert "send either `Authorization` or `X-API-Key`" in answer.text


def test_browsers_may_send_the_header(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, cors_origins=("https://app.example.com",))
    wanted = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key",
    }

    assert api.request("OPTIONS", "/predict", headers=wanted).status_code == 200


def test_openapi_offers_both_schemes(served: RunningApi) -> None:
    document = served.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    (key,) = [name for name, scheme in schemes.items() if scheme["type"] == "apiKey"]
    (token,) = [name for name, scheme in schemes.items() if scheme["type"] == "oauth2"]
    either: list[dict[str, list[str]]] = [{token: []}, {key: []}]

    def security(call: str) -> list[dict[str, list[str]]]:
        method, path = call.split(" ")
        found: list[dict[str, list[str]]] = document["paths"][path][method.lower()].get("security", [])
        return sorted(found, key=lambda one: list(one) != [token])

    assert schemes[key] | {"description": ""} == {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "",
    }
    expected = {PUBLIC: [], NO_KEYS: [{token: []}], **dict.fromkeys(ACTIONS, either)}
    assert {call: security(call) for call in NEEDED} == {call: expected[needed] for call, needed in NEEDED.items()}


# Life of a key


def test_key_is_shown_once(served: RunningApi) -> None:
    created = create(served, Role.USER, name="nightly", description="batch", models=["iris", "iris"])

    assert created.pop("key").startswith("slk_")
    shown = next(one for one in served.get("/keys", role=Role.USER).json()["keys"] if one["id"] == created["id"])
    assert shown == created
    assert shown | {"id": "", "created_at": "", "expires_at": ""} == {
        "id": "",
        "name": "nightly",
        "description": "batch",
        "owner": "uma",
        "models": ["iris"],
        "actions": ["predict"],
        "created_at": "",
        "expires_at": "",
        "expired": False,
        "last_used_at": None,
    }


def test_revoked_key_is_rejected_at_once(served: RunningApi) -> None:
    created = create(served, Role.USER)
    assert ask(served, "POST /predict", created["key"], json=ROW).status_code == 200

    assert served.request("DELETE", f"/keys/{created['id']}", role=Role.USER).status_code == 204

    answer = ask(served, "POST /predict", created["key"], json=ROW)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert served.request("DELETE", f"/keys/{created['id']}", role=Role.USER).status_code == 404


def test_expired_key_is_rejected(served: RunningApi) -> None:
    created = create(served, expires_in=1)

    wait_for(lambda: ask(served, "POST /predict", created["key"], json=ROW).status_code == 401, what="the expiry")

    answer = ask(served, "POST /predict", created["key"], json=ROW)
    assert "expired" in answer.json()["detail"] or "not valid" in answer.json()["detail"]
    shown = next(one for one in served.get("/keys", role=Role.ADMIN).json()["keys"] if one["id"] == created["id"])
    assert shown["expired"]


def test_users_manage_their_own_keys_and_admins_all(served: RunningApi) -> None:
    own, of_another = create(served, Role.USER)["id"], create(served, Role.VIEWER, actions=["read"])["id"]

    def listed(role: Role) -> set[str]:
        ids: set[str] = set()
        cursor = ""
        while True:
            page = served.get(f"/keys?limit=3{cursor}", role=role).json()
            ids |= {one["id"] for one in page["keys"]}
            if page["next_cursor"] is None:
                return ids
            cursor = f"&cursor={page['next_cursor']}"

    assert own in listed(Role.USER)
    assert of_another not in listed(Role.USER)
    assert {own, of_another} <= listed(Role.ADMIN)
    assert served.request("DELETE", f"/keys/{of_another}", role=Role.USER).status_code == 404
    assert served.request("DELETE", f"/keys/{of_another}", role=Role.ADMIN).status_code == 204
    assert served.request("DELETE", "/keys/nonsense", role=Role.ADMIN).status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [({"disabled": True}, 401), ({"role": "viewer"}, 403), ({"password": "another horse battery"}, 200), (None, 401)],
    ids=["disabled", "viewer", "password", "deleted"],
)
def test_key_follows_its_account(
    start_api: StartApi, registry: InMemoryRegistry, change: dict[str, object] | None, status: int
) -> None:
    api = start_api(registry)
    key = create(api, Role.USER)["key"]
    assert ask(api, "POST /predict", key, json=ROW).status_code == 200

    method = "DELETE" if change is None else "PATCH"
    assert api.request(method, "/users/uma", role=Role.ADMIN, json=change).is_success

    assert ask(api, "POST /predict", key, json=ROW).status_code == status


def test_last_use_is_shown(served: RunningApi) -> None:
    created = create(served, Role.USER)
    ask(served, "POST /predict", created["key"], json=ROW)

    def last_use() -> object:
        found = served.get("/keys", role=Role.USER).json()["keys"]
        return next(one["last_used_at"] for one in found if one["id"] == created["id"])

    wait_for(last_use, seconds=10, what="the last use")


def test_account_may_have_a_limited_number_of_keys(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)
    for _ in range(MAX_KEYS_OF_ACCOUNT):
        create(api, Role.USER)

    answer = api.post("/keys", role=Role.USER, json={"name": "one more"})

    assert (answer.status_code, str(MAX_KEYS_OF_ACCOUNT) in answer.json()["detail"]) == (409, True)
    create(api, Role.ADMIN)


def test_keys_share_the_prediction_limit_of_their_account(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry, predictions_per_minute=10)
    one, two = create(api, Role.USER)["key"], create(api, Role.USER)["key"]

    assert ask(api, "POST /predict", one, json=ROW).status_code == 200
    assert ask(api, "POST /predict", two, json=ROW).status_code == 429


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 201),
        ({"expires_in": 86_400}, 201),
        ({"expires_in": 86_401}, 422),
        ({"expires_in": "never"}, 422),
        ({"expires_in": "soon"}, 422),
        ({"expires_in": 0}, 422),
        ({"name": " "}, 422),
        ({"name": "a\nb"}, 422),
        ({"models": []}, 422),
        ({"models": ["a\x00"]}, 422),
        ({"actions": []}, 422),
        ({"actions": ["admin"]}, 422),
        ({"owner": "ada"}, 422),
    ],
)
def test_new_key_is_checked(
    start_api: StartApi, registry: InMemoryRegistry, fields: dict[str, object], status: int
) -> None:
    api = start_api(registry, api_key_max_days=1)

    assert api.post("/keys", role=Role.USER, json={"name": "scores", **fields}).status_code == status


def test_key_may_never_expire_without_a_limit(served: RunningApi) -> None:
    assert create(served, expires_in="never")["expires_at"] is None


def test_restart_without_database_keeps_keys(start_api: StartApi, registry: InMemoryRegistry, tmp_path: Path) -> None:
    api = start_api(registry)
    created, revoked = create(api, actions=["read"], models=["iris"]), create(api, actions=["read"])
    assert api.request("DELETE", f"/keys/{revoked['id']}", role=Role.ADMIN).status_code == 204
    file = tmp_path / "api" / "cache" / SNAPSHOT_FILE
    wait_for(lambda: file.exists() and created["id"] in file.read_text(), what="the snapshot")

    away = start_api(registry, database_url=f"sqlite:///{tmp_path / 'nowhere' / 'slipway.db'}")

    assert ask(away, "GET /models", created["key"]).status_code == 200
    assert ask(away, "POST /predict", created["key"], json=ROW).status_code == 403
    # It is younger than the snapshot may be, so that only the database knows.
    assert ask(away, "GET /models", revoked["key"]).status_code in {401, 503}
    assert created["key"] not in file.read_text()


# Secrecy


def test_no_secret_is_logged_measured_or_returned(served: RunningApi, logs: list[EventDict]) -> None:
    created = create(served, Role.USER)
    key, token = created["key"], served.token(Role.USER)
    secrets = (key, key[37:], token, token.rpartition(".")[2])
    answers = [
        ask(served, "GET /models", key),
        ask(served, "POST /keys", key),
        ask(served, "POST /predict", key, content=b"{"),
        ask(served, "POST /predict", key[:-1] + "_"),
        served.get("/models", token=token + "x"),
        served.get("/models", headers={"Authorization": f"Bearer {token}", "X-API-Key": key}),
        served.request("DELETE", f"/keys/{created['id']}", role=Role.USER),
        ask(served, "GET /models", key),
        served.get("/keys", role=Role.ADMIN),
        served.get("/users/events", role=Role.ADMIN),
        served.post("/token/revoke", token=token),
        served.get("/models", token=token),
        served.get("/metrics", client=LOOPBACK),
    ]

    texts = [repr(logs), *(answer.text + repr(answer.headers) for answer in answers)]

    assert [secret for secret in secrets for text in texts if secret in text] == []
    assert created["id"] in repr(logs)

"""`/models/{name}/promote`, `/rollback` and `/history`: Production is moved in the registry and served at once."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_core.errors import RegistryError
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.bundles import bundle_files, register

LONG = 3_600
JSON = {"Content-Type": "application/json"}
PROMOTE, ROLLBACK, HISTORY = "/models/iris/promote", "/models/iris/rollback", "/models/iris/history"


@pytest.fixture
def running(start_api: StartApi, registry: InMemoryRegistry) -> RunningApi:
    """Run an app whose iris has two versions; Production is version 1."""
    register(registry, bundle_files())
    return start_api(registry, registry_poll_seconds=LONG)


def promote(api: RunningApi, version: str, **more: str) -> httpx.Response:
    return api.post(PROMOTE, role=Role.ADMIN, json={"version": version, **more})


def rollback(api: RunningApi, **more: str) -> httpx.Response:
    return api.post(ROLLBACK, role=Role.ADMIN, json=more)


def test_promotion_is_recorded_and_served_at_once(
    running: RunningApi, registry: InMemoryRegistry, logs: list[EventDict]
) -> None:
    answer = promote(running, "2", reason="better on new flowers", **{"from": "1"})

    assert answer.status_code == 200
    result = answer.json()
    assert result["event"].pop("at").endswith("Z")
    assert result == {
        "changed": True,
        "event": {
            "action": "promote",
            "version": "2",
            "from": "1",
            "by": "ada",
            "reason": "better on new flowers",
        },
        "warning": None,
        "served_version": "2",
        "up_to_date": True,
        "reason": None,
    }
    assert registry.get_model("iris").aliases[PRODUCTION] == "2"
    assert running.post("/predict", role=Role.USER, json={"features": [5.1, 3.5, 1.4, 0.2]}).json()["version"] == "2"
    [told] = [one for one in logs if one["event"] == "production_moved"]
    assert (told["action"], told["version"], told["before"]) == ("promote", "2", "1")


def test_history_lists_moves_newest_first(running: RunningApi) -> None:
    promote(running, "2")
    assert rollback(running, reason="wrong at night").json()["served_version"] == "1"

    moves = running.get(HISTORY, role=Role.VIEWER).json()["moves"]

    shown = [(one["action"], one["from"], one["version"], one["by"], one["reason"]) for one in moves]
    assert shown == [
        ("rollback", "2", "1", "ada", "wrong at night"),
        ("promote", "1", "2", "ada", "promoted through the API"),
        ("external", None, "1", None, None),
    ]
    assert moves[0]["metrics"] == {"accuracy": 0.97}


def test_promoting_the_production_version_changes_nothing(running: RunningApi) -> None:
    promote(running, "2")

    result = promote(running, "2").json()

    assert (result["changed"], result["event"], result["served_version"]) == (False, None, "2")
    assert len(running.get(HISTORY, role=Role.VIEWER).json()["moves"]) == 2


def test_damaged_version_is_promoted_and_its_failure_reported(running: RunningApi, registry: InMemoryRegistry) -> None:
    registry.replace_file("iris", "2", MODEL_FILE, b"damaged")

    result = promote(running, "2").json()

    assert (result["changed"], result["served_version"], result["up_to_date"]) == (True, "1", False)
    assert result["reason"].startswith("version 2 of iris cannot be loaded: model.onnx has the digest sha256:")


def test_model_outside_the_settings_is_promoted_but_not_served(start_api: StartApi, registry: InMemoryRegistry) -> None:
    register(registry, bundle_files("rose"), "rose")
    api = start_api(registry, registry_poll_seconds=LONG, models=("iris",))

    result = api.post("/models/rose/promote", role=Role.ADMIN, json={"version": "1"}).json()

    assert (result["changed"], result["served_version"], result["up_to_date"]) == (True, None, False)
    assert "SLIPWAY_MODELS does not name rose" in result["reason"]


def test_unwritten_history_is_a_warning(
    running: RunningApi, registry: InMemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RegistryError("its disk is full")

    monkeypatch.setattr(registry, "set_model_tag", fail)

    answer = promote(running, "2")

    assert answer.status_code == 200
    result = answer.json()
    assert (result["changed"], result["event"]["version"], result["event"]["from"]) == (True, "2", "1")
    assert result["warning"].startswith("Production of iris is now version 2, but its history could not be written")
    assert (result["served_version"], result["up_to_date"]) == ("2", True)


def test_simultaneous_promotions_are_made_one_after_another(running: RunningApi, registry: InMemoryRegistry) -> None:
    register(registry, bundle_files())
    bodies = [{"version": "2", "from": "1"}, {"version": "3", "from": "1"}] * 4

    pending = [running.send("POST", PROMOTE, role=Role.ADMIN, json=body) for body in bodies]
    answers = [one.result(timeout=30) for one in pending]

    won = [one.json()["event"]["version"] for one in answers if one.status_code == 200 and one.json()["changed"]]
    assert len(won) == 1
    assert registry.get_model("iris").aliases[PRODUCTION] == won[0]
    moves = running.get(HISTORY, role=Role.VIEWER).json()["moves"]
    assert [one["version"] for one in moves] == [won[0], "1"]


Ask = Callable[[RunningApi], httpx.Response]
ROUTES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", PROMOTE, {"json": {"version": "2"}}),
    ("POST", ROLLBACK, {"json": {}}),
    ("GET", HISTORY, {}),
)
REJECTED: tuple[tuple[int, str, Ask], ...] = (
    (404, "no model named rose", lambda api: api.post("/models/rose/promote", role=Role.ADMIN, json={"version": "1"})),
    (404, "iris has no version 9", lambda api: promote(api, "9")),
    (404, "no model named rose", lambda api: api.post("/models/rose/rollback", role=Role.ADMIN, json={})),
    (404, "no model named rose", lambda api: api.get("/models/rose/history", role=Role.VIEWER)),
    (409, "version 1 is the first Production version of iris", rollback),
    (
        409,
        "Production of iris no longer points to the version in `from`",
        lambda api: promote(api, "2", **{"from": "9"}),
    ),
    (409, "Production of iris no longer points to the version in `from`", lambda api: rollback(api, **{"from": "9"})),
    (422, "'version' is missing", lambda api: api.post(PROMOTE, role=Role.ADMIN, json={})),
    (422, "a version must be a number as text", lambda api: api.post(PROMOTE, role=Role.ADMIN, json={"version": 2})),
    (422, "a version must be a number as text", lambda api: promote(api, "../1")),
    (422, "must not contain control characters", lambda api: promote(api, "2", reason="a\x00b")),
    (
        422,
        "'reason' must be a string",
        lambda api: api.post(PROMOTE, role=Role.ADMIN, headers=JSON, content=rb'{"version": "2", "reason": "\ud800"}'),
    ),
    (422, "'reason' must have at least 1 character", lambda api: rollback(api, reason="")),
    (422, "'reason' must have at most 1000 characters", lambda api: rollback(api, reason="x" * 1001)),
    (422, "unknown field 'why'", lambda api: rollback(api, why="because")),
)


@pytest.mark.parametrize(("status", "detail", "ask"), REJECTED, ids=[f"{one[0]} {one[1]}" for one in REJECTED])
def test_request_is_rejected(
    running: RunningApi, registry: InMemoryRegistry, status: int, detail: str, ask: Ask
) -> None:
    answer = ask(running)

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert detail in answer.json()["detail"]
    assert registry.get_model("iris").aliases == {PRODUCTION: "1"}


@pytest.mark.parametrize(("method", "path", "content"), ROUTES)
def test_caller_is_checked_before_the_registry(
    running: RunningApi, registry: InMemoryRegistry, method: str, path: str, content: dict[str, Any]
) -> None:
    assert running.request(method, path, **content).status_code == 401
    if method == "POST":
        for role in (Role.USER, Role.VIEWER):
            assert running.request(method, path, role=role, content=b"not JSON").status_code == 403
    registry.reachable = False
    answer = running.request(method, path, role=Role.ADMIN, **content)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json()["detail"] == "the model registry cannot be reached"
    registry.reachable = True
    assert registry.get_model("iris").aliases == {PRODUCTION: "1"}

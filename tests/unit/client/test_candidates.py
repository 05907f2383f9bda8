"""Candidates, Staging, promotions, and the history of a real API."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from slipway_api.accounts.models import Role
from slipway_client import AsyncClient, Client, ConflictError, NotFoundError, PermissionDeniedError
from slipway_core.registry import STAGING
from slipway_core.registry.base import candidate_alias
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, make_database, running_api
from support.bundles import CLASSES, FEATURES, GOLDEN_ROWS, bundle_files, register
from support.client_transports import URL, AsyncTransport, SyncTransport

ROW = list(GOLDEN_ROWS[0])
FRAME = pd.DataFrame(GOLDEN_ROWS, columns=list(FEATURES))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    """Run an API whose iris has Production 1, Staging 2 and the candidate linear 3; rose has the versions 1 and 2."""
    registry = InMemoryRegistry()
    for name in ("iris", "rose"):
        register(registry, bundle_files(name), name, promote=True)
        register(registry, bundle_files(name), name)
    register(registry, bundle_files())
    registry.set_alias("iris", STAGING, "2")
    registry.set_alias("iris", candidate_alias("linear"), "3")
    folder = tmp_path_factory.mktemp("candidates")
    database = make_database(folder / "template.db")
    with running_api(folder / "api", registry, database, registry_poll_seconds=3_600) as running:
        running.post("/models/iris/reload", role=Role.ADMIN)  # waits for the loads beside Production
        yield running


@pytest.mark.parametrize(
    ("options", "path", "version"),
    [
        ({"candidate": "linear"}, "/models/iris/candidates/linear", "3"),
        ({"stage": "Staging"}, "/models/iris/staging", "2"),
        ({"stage": "Production"}, "/models/iris", "1"),
    ],
)
def test_version_beside_production_predicts(
    client: Client, transport: SyncTransport, options: dict[str, Any], path: str, version: str
) -> None:
    found = client.predict(FRAME, "iris", **options)
    result = client.predict(ROW, "iris", **options)

    assert (found.attrs["versions"], result.version, result.label) == ([version], version, ["setosa"])
    assert [f"probability_{name}" for name in CLASSES] == [name for name in found if name.startswith("probability_")]
    assert [request.url.path for request in transport.requests] == [f"{path}/predict", path, f"{path}/predict"]
    assert client.model("iris", **options)["model_version"] == version


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("iris", {"version": "1", "candidate": "linear"}, "only one of version, candidate and stage"),
        ("iris", {"candidate": "linear", "stage": "Staging"}, "not candidate and stage"),
        (None, {"candidate": "linear"}, "pass the model of the candidate"),
        (None, {"stage": "Staging"}, "pass the model of the stage"),
        ("iris", {"stage": "staging"}, "must be Production or Staging, got 'staging'"),
    ],
)
def test_unclear_version_is_rejected_before_any_request(
    client: Client, transport: SyncTransport, model: str | None, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        client.predict(ROW, model, **options)
    assert transport.requests == []


def test_candidates_are_listed(client: Client) -> None:
    (linear,) = client.candidates("iris")

    assert (linear["name"], linear["version"], linear["loaded"], linear["reason"]) == ("linear", "3", True, None)
    assert client.candidates("rose") == []
    with pytest.raises(NotFoundError, match="no candidate named forest"):
        client.predict(ROW, "iris", candidate="forest")


def test_promotion_and_rollback_are_in_the_history(client: Client, admin: Client) -> None:
    with pytest.raises(PermissionDeniedError):
        client.promote("rose", "2", "better")
    with pytest.raises(ConflictError):
        admin.promote("rose", "2", "better", expected="7")

    promoted = admin.promote("rose", "2", "better", expected="1")
    again = admin.promote("rose", "2", "better")
    restored = admin.rollback("rose", "worse", expected="2")

    assert promoted["event"] is not None
    assert (promoted["served_version"], promoted["event"]["from"], promoted["up_to_date"]) == ("2", "1", True)
    assert (again["changed"], again["event"]) == (False, None)
    assert restored["served_version"] == "1"
    moves = [(move["action"], move["version"], move["from"], move["reason"]) for move in client.history("rose")]
    assert moves[:2] == [("rollback", "1", "2", "worse"), ("promote", "2", "1", "better")]


def test_async_methods_reach_the_api(api: RunningApi) -> None:
    async def run() -> list[object]:
        async with AsyncClient(URL, token=api.token(Role.ADMIN), transport=AsyncTransport(api)) as client:
            return [
                [candidate["name"] for candidate in await client.candidates("iris")],
                (await client.predict(ROW, "iris", candidate="linear")).version,
                (await client.predict(FRAME, "iris", stage="Staging")).attrs["versions"],
                (await client.model("iris", candidate="linear"))["model_version"],
                (await client.promote("iris", "1", "as it is"))["changed"],
                [move["version"] for move in await client.history("iris")],
            ]

    assert asyncio.run(run()) == [["linear"], "3", ["2"], "3", False, ["1"]]


def test_async_rollback_without_an_earlier_version_is_a_conflict(api: RunningApi) -> None:
    async def run() -> None:
        async with AsyncClient(URL, token=api.token(Role.ADMIN), transport=AsyncTransport(api)) as client:
            await client.rollback("iris", "worse")

    with pytest.raises(ConflictError):
        asyncio.run(run())

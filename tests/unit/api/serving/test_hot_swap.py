"""A new version replaces the old one while requests run: none fails, and none mixes both versions."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_api.serving import registry_watcher
from slipway_core.graph import Graph
from slipway_core.registry import RegisteredModel
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.bundles import BIAS, NAMES, bundle_files, linear_classifier, register
from support.serving import Serving
from support.waiting import wait_for

ROW = [5.1, 3.5, 1.4, 0.2]
OTHER = linear_classifier(BIAS[::-1].copy())
CLIENTS = 8


@dataclass
class Traffic:
    """Clients that send requests until they are stopped."""

    api: RunningApi
    rows: int
    stopped: bool = False
    answers: list[list[tuple[int, Any]]] = field(default_factory=list)

    async def ask(self) -> None:
        """Run one client."""
        mine: list[tuple[int, Any]] = []
        self.answers.append(mine)
        while not self.stopped:
            answer = await self.api.ask("POST", "/predict", role=Role.USER, json={"features": [ROW] * self.rows})
            mine.append((answer.status_code, answer.json()))
            # Without a network, clients never wait for each other by themselves.
            await asyncio.sleep(0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the clients send requests until the block ends."""
        clients = [self.api.portal.start_task_soon(self.ask) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            self.stopped = True
            for client in clients:
                client.result(timeout=10)

    def versions(self) -> list[str]:
        """Return the version that each client received last."""
        return [mine[-1][1].get("version", "") for mine in self.answers if mine]


def probabilities(graph: bytes) -> list[float]:
    scores = Graph(graph, NAMES).run(np.array([ROW], dtype=np.float32)).scores
    assert scores is not None
    return [float(score) for score in scores[0]]


# On the event loop, and in threads.
@pytest.mark.parametrize("rows", [1, 300])
def test_no_request_fails_while_a_version_is_promoted(
    start_api: StartApi, registry: InMemoryRegistry, rows: int
) -> None:
    api = start_api(registry)
    traffic = Traffic(api, rows)
    with traffic.running():
        wait_for(lambda: traffic.versions() == ["1"] * CLIENTS, what="answers of version 1")
        register(registry, bundle_files(model=OTHER), promote=True)
        wait_for(lambda: traffic.versions() == ["2"] * CLIENTS, seconds=5, what="answers of version 2")

    expected = {"1": probabilities(linear_classifier()), "2": probabilities(OTHER)}
    for mine in traffic.answers:
        assert {status for status, _ in mine} == {200}
        versions = [body["version"] for _, body in mine]
        assert versions == sorted(versions)
        for _, body in mine:
            assert len(body["probabilities"]) == rows
            assert body["probabilities"][0] == pytest.approx(expected[body["version"]], rel=1e-5)


class Faulty(InMemoryRegistry):
    """A registry whose first response raises an unexpected error."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def list_models(self) -> list[RegisteredModel]:
        self.looks += 1
        if self.looks == 1:
            raise KeyError("aliases")
        return super().list_models()


def test_unexpected_error_does_not_end_polling(start_api: StartApi, logs: list[EventDict]) -> None:
    registry = Faulty()
    register(registry, bundle_files(), promote=True)

    api = start_api(registry)

    assert api.is_ready()
    assert [entry["event"] for entry in logs].count("registry_watch_failed") == 1


@pytest.mark.parametrize(("ready", "at_most"), [(False, 0.55), (True, 11.0)])
def test_polling_is_frequent_only_while_a_model_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ready: bool, at_most: float
) -> None:
    serving = Serving(tmp_path / "cache")
    if ready:
        register(serving.registry, bundle_files(), promote=True)
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(registry_watcher, "asyncio", SimpleNamespace(sleep=note, to_thread=asyncio.to_thread))
    looked = asyncio.Event()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(registry_watcher.watch(serving.store, 10.0, looked))

    assert looked.is_set()
    assert all(0.8 * at_most <= pause <= at_most for pause in pauses)

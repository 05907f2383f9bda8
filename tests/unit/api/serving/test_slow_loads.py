"""A version that loads slowly delays neither other models nor the checks of the registry."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_api.errors import NotReadyError
from slipway_core.registry import ModelVersion
from slipway_core.registry.memory import InMemoryRegistry
from support.bundles import bundle_files, register
from support.serving import Serving
from support.waiting import wait_for


class SlowRegistry(InMemoryRegistry):
    """A registry that holds back the files of some models until the test releases them.

    Attributes:
        slow: the models whose files are held back.
        fetching: how many downloads are currently held back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slow: set[str] = set()
        self.fetching = 0
        self.go_on = threading.Event()

    def fetch(self, version: ModelVersion, file: str, destination: Path) -> None:
        if version.name in self.slow:
            self.fetching += 1
            assert self.go_on.wait(30)
            self.fetching -= 1
        super().fetch(version, file, destination)


@pytest.fixture
def registry() -> Iterator[SlowRegistry]:
    registry = SlowRegistry()
    yield registry
    registry.go_on.set()


@pytest.fixture
def serving(tmp_path: Path, registry: SlowRegistry) -> Serving:
    """Create a process that does not wait for loads."""
    serving = Serving(tmp_path / "cache")
    serving.registry = registry
    serving.load_wait_seconds = 0.0
    serving.start()
    return serving


def test_slow_model_does_not_delay_others(serving: Serving, registry: SlowRegistry) -> None:
    registry.slow = {"iris"}
    for name in ("iris", "rose"):
        register(registry, bundle_files(name), name, promote=True)

    serving.sync()

    wait_for(lambda: serving.served() == {"rose": "1"}, what="the quick one")
    assert serving.store.missing() == ["iris"]
    with pytest.raises(NotReadyError, match="iris is being loaded"):
        serving.store.get("iris")


def test_other_models_are_updated_during_a_slow_load(serving: Serving, registry: SlowRegistry) -> None:
    registry.slow = {"iris"}
    register(registry, bundle_files(), promote=True)
    serving.sync()
    register(registry, bundle_files("rose"), "rose", promote=True)

    serving.sync()

    wait_for(lambda: serving.served() == {"rose": "1"}, what="the quick one")


def test_slow_version_is_downloaded_once_and_served_when_ready(serving: Serving, registry: SlowRegistry) -> None:
    registry.slow = {"iris"}
    register(registry, bundle_files(), promote=True)
    for _ in range(3):
        serving.sync(force=True)
    assert registry.fetching <= 1

    registry.go_on.set()

    wait_for(lambda: serving.served() == {"iris": "1"}, what="the slow one")
    assert len(registry.fetched) == 3


def test_model_deleted_while_loading_is_unloaded_at_next_check(serving: Serving, registry: SlowRegistry) -> None:
    registry.slow = {"rose"}
    register(registry, bundle_files("rose"), "rose", promote=True)
    serving.sync()
    wait_for(lambda: registry.fetching == 1, what="the fetch")
    registry.delete_model("rose")
    serving.sync()
    registry.go_on.set()

    def is_gone() -> bool:
        serving.sync()
        return "is being loaded" not in serving.store.why_missing("rose")

    wait_for(is_gone, what="the end of the load")
    assert serving.served() == {}


def test_check_waits_for_a_slow_load_once(serving: Serving, registry: SlowRegistry) -> None:
    registry.slow = {"iris"}
    register(registry, bundle_files(), promote=True)
    serving.sync()
    wait_for(lambda: registry.fetching == 1, what="the fetch")
    serving.store._load_wait_seconds = 30.0
    began = time.monotonic()

    serving.sync()

    assert time.monotonic() - began < 10
    assert serving.store.missing() == ["iris"]


def test_check_waits_for_fast_loads(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris", "rose", "iris@1"))
    for name in ("iris", "rose"):
        register(serving.registry, bundle_files(name), name, promote=True)

    serving.sync()

    assert (serving.served(), serving.pinned()) == ({"iris": "1", "rose": "1"}, ["iris@1"])

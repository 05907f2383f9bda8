"""Models missing in the registry's list: only those that the registry reports as not existing are unloaded."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.typing import EventDict

from slipway_api.serving.model_ref import ModelRef
from slipway_core.errors import RegistryError, RegistryNotFoundError, RegistryUnavailableError
from slipway_core.registry import RegisteredModel
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.mlflow import MlflowRegistry
from support.bundles import bundle_files, register
from support.hostile import HostileMlflow
from support.serving import Serving
from support.waiting import wait_for

NAMES = ("iris", "rose", "tulip")
ALL = {"iris": "1", "rose": "1", "tulip": "1"}


class PartialRegistry(InMemoryRegistry):
    """A registry whose list omits models, and whose responses about one model fail.

    Attributes:
        hidden: the models that the list omits.
        error: the error that a request for one model raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[str] = set()
        self.error: Exception | None = None

    def list_models(self) -> list[RegisteredModel]:
        return [model for model in super().list_models() if model.name not in self.hidden]

    def get_model(self, name: str) -> RegisteredModel:
        if self.error is not None and name in self.hidden:
            raise self.error
        return super().get_model(name)


@pytest.fixture
def registry() -> PartialRegistry:
    return PartialRegistry()


@pytest.fixture
def three(tmp_path: Path, registry: PartialRegistry, logs: list[EventDict]) -> Serving:
    """Create a process that serves three models."""
    serving = Serving(tmp_path / "cache")
    serving.registry = registry
    serving.start()
    for name in NAMES:
        register(registry, bundle_files(name), name, promote=True)
    serving.sync()
    assert serving.served() == ALL
    logs.clear()
    return serving


def notes(serving: Serving) -> list[str]:
    return [ref.name for ref in serving.bundle_cache.refs() if ref.is_production]


@pytest.mark.parametrize(
    "error",
    [None, RegistryNotFoundError("a proxy's 404"), RegistryUnavailableError("it is away"), RegistryError("it failed")],
    ids=["listed later", "404 of a proxy", "unavailable", "failing"],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_model_is_kept_unless_the_registry_reports_it_missing(
    three: Serving, registry: PartialRegistry, error: Exception | None, restarted: bool
) -> None:
    registry.hidden, registry.error = {"rose"}, error
    if restarted:
        three.start()

    for _ in range(2):
        three.sync()

    wait_for(lambda: three.served() == ALL, what="the model from the cache")
    assert notes(three) == list(NAMES)
    registry.hidden = set()
    three.sync()
    assert three.served() == ALL


@pytest.mark.parametrize("restarted", [False, True])
def test_deleted_model_is_unloaded_and_forgotten(three: Serving, registry: PartialRegistry, restarted: bool) -> None:
    registry.delete_model("rose")
    if restarted:
        three.start()

    three.sync()

    assert three.served() == {"iris": "1", "tulip": "1"}
    assert notes(three) == ["iris", "tulip"]


def empty(registry: PartialRegistry) -> None:
    for name in NAMES:
        registry.delete_model(name)


def with_other_models(registry: PartialRegistry) -> None:
    empty(registry)
    register(registry, bundle_files("lily"), "lily", promote=True)


def with_one_trained_again(registry: PartialRegistry) -> None:
    empty(registry)
    register(registry, bundle_files("iris"), "iris", promote=True)


@pytest.mark.parametrize("become", [empty, with_other_models, with_one_trained_again], ids=lambda one: one.__name__)
@pytest.mark.parametrize("restarted", [False, True])
def test_unknown_registry_unloads_nothing(
    three: Serving,
    registry: PartialRegistry,
    logs: list[EventDict],
    become: Callable[[PartialRegistry], None],
    restarted: bool,
) -> None:
    become(registry)
    if restarted:
        three.start()
    failures = three.sample("slipway_registry_failures_total") or 0

    for _ in range(3):
        three.sync()

    assert three.served().keys() >= ALL.keys()
    assert set(notes(three)) >= set(NAMES)
    assert three.sample("slipway_registry_failures_total") == failures + 3
    assert three.sample("slipway_registry_up") == 0
    assert "none of the models" in str(three.store.registry_status.reason)
    assert [entry["event"] for entry in logs].count("registry_unreachable") == 1
    assert "model_unloaded" not in [entry["event"] for entry in logs]


def test_models_of_an_unknown_registry_are_served(three: Serving, registry: PartialRegistry) -> None:
    with_other_models(registry)

    three.sync()

    assert three.served() == {**ALL, "lily": "1"}


def test_only_model_is_kept_if_the_registry_becomes_empty(serving: Serving) -> None:
    serving.registry.delete_model("iris")

    serving.sync()

    assert serving.served() == {"iris": "1"}


def test_only_model_may_be_deleted_and_recreated(serving: Serving) -> None:
    serving.registry.delete_model("iris")
    register(serving.registry, bundle_files(recipe="another"), promote=True)

    serving.sync()

    assert serving.sample("slipway_registry_up") == 1
    assert serving.store.get("iris").manifest.recipe == "another"


def test_restored_registry_is_followed(three: Serving, registry: PartialRegistry) -> None:
    registry.hidden = set(NAMES)
    three.sync()
    registry.hidden = set()

    three.sync()

    assert three.sample("slipway_registry_up") == 1
    registry.delete_model("rose")
    three.sync()
    assert three.served() == {"iris": "1", "tulip": "1"}


def test_all_served_models_are_not_unloaded_at_once(three: Serving, registry: PartialRegistry) -> None:
    register(registry, bundle_files("lily"), "lily")
    three.sync()
    empty(registry)

    three.sync()

    assert three.served() == ALL


def test_empty_registry_at_first_start_is_healthy(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache")

    serving.sync()

    assert serving.sample("slipway_registry_up") == 1
    assert (
        serving.store.why_missing("iris") == "iris has no version with the alias Production yet; train and promote one"
    )


def test_pinned_version_is_kept_in_an_unknown_registry(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "cache", models=("iris@2", "rose"))
    for name in ("iris", "iris", "rose"):
        register(serving.registry, bundle_files(name), name, promote=True)
    serving.sync()
    for name in ("iris", "rose"):
        serving.registry.delete_model(name)
    register(serving.registry, bundle_files(), promote=True)

    serving.sync(force=True)

    assert (serving.pinned(), serving.served()) == (["iris@2"], {"rose": "1"})
    assert serving.bundle_cache.last_served(ModelRef("iris", "2")) is not None


@pytest.mark.parametrize("name", ["registered.json", "iris/production.json"])
def test_damaged_registry_note_does_not_prevent_a_start(three: Serving, name: str) -> None:
    (three.cache / name).write_bytes(b'{"iris": "yesterday"')
    three.restart()

    assert three.served() == ALL


@pytest.fixture
def mlflow() -> Iterator[HostileMlflow]:
    with HostileMlflow().running() as server:
        yield server


WRONG: dict[str, tuple[int, Any]] = {
    "empty object": (200, {}),
    "other object": (200, {"status": "ok"}),
    "null list": (200, {"registered_models": None}),
    "null": (200, None),
    "list": (200, []),
    "strings": (200, {"registered_models": ["iris", "rose"]}),
    "no names": (200, {"registered_models": [{}]}),
    "odd aliases": (200, {"registered_models": [{"name": "iris", "aliases": [{"alias": "Production"}]}]}),
    "page of a proxy": (200, b"<h1>Welcome</h1>"),
    "404 of a proxy": (404, b"<h1>Not found</h1>"),
    "denied list": (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_wrong_response_unloads_nothing_and_a_start_serves(
    tmp_path: Path, mlflow: HostileMlflow, answer: tuple[int, Any]
) -> None:
    serving = Serving(tmp_path / "cache")
    with MlflowRegistry(mlflow.url) as registry:
        serving.registry = registry  # type: ignore[assignment]
        serving.start()
        for name in ("iris", "rose"):
            register(mlflow.registry, bundle_files(name), name, promote=True)
        serving.sync()
        assert serving.served() == {"iris": "1", "rose": "1"}
        mlflow.answer["registered-models/search"] = lambda: answer

        serving.sync()
        assert serving.served() == {"iris": "1", "rose": "1"}
        assert serving.sample("slipway_registry_failures_total") == 1

        serving.start()
        serving.sync()
        assert serving.served() == {"iris": "1", "rose": "1"}
        assert serving.sample("slipway_registry_failures_total") == 1
        assert notes(serving) == ["iris", "rose"]

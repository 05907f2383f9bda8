"""The registry in memory: additions to the contract in `integration/test_registry.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slipway_core.errors import RegistryUnavailableError
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION, ModelVersion
from slipway_core.registry.memory import InMemoryRegistry

CALLS: dict[str, Callable[[InMemoryRegistry], object]] = {
    "list_models": lambda registry: registry.list_models(),
    "get_model": lambda registry: registry.get_model("iris"),
    "list_versions": lambda registry: registry.list_versions("iris"),
    "get_version": lambda registry: registry.get_version("iris", "1"),
    "fetch": lambda registry: registry.fetch(ModelVersion("iris", "1"), MODEL_FILE, Path(MODEL_FILE)),
    "set_alias": lambda registry: registry.set_alias("iris", PRODUCTION, "1"),
    "set_model_tag": lambda registry: registry.set_model_tag("iris", "team", "botany"),
    "set_version_tag": lambda registry: registry.set_version_tag("iris", "1", "team", "botany"),
    "delete_version_tag": lambda registry: registry.delete_version_tag("iris", "1", "team"),
}


@pytest.fixture
def registry() -> InMemoryRegistry:
    registry = InMemoryRegistry()
    registry.add_version("iris", {MODEL_FILE: b"graph"})
    return registry


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_unreachable_registry_raises_unavailable(
    registry: InMemoryRegistry, call: Callable[[InMemoryRegistry], object]
) -> None:
    registry.reachable = False

    with pytest.raises(RegistryUnavailableError, match=r"^the model registry cannot be reached$"):
        call(registry)


def test_fetched_files_are_recorded_in_order(registry: InMemoryRegistry, tmp_path: Path) -> None:
    second = registry.add_version("iris", {MODEL_FILE: b"other graph"})

    for version in (second, registry.get_version("iris", "1")):
        registry.fetch(version, MODEL_FILE, tmp_path / "file")

    assert registry.fetched == [("iris", "2", MODEL_FILE), ("iris", "1", MODEL_FILE)]


def test_file_can_be_replaced_directly(registry: InMemoryRegistry, tmp_path: Path) -> None:
    registry.replace_file("iris", "1", MODEL_FILE, b"damaged")

    registry.fetch(registry.get_version("iris", "1"), MODEL_FILE, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == b"damaged"

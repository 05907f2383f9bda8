"""Calls of a registry that is starting."""

import pytest

from slipway_core.errors import RegistryUnavailableError
from slipway_core.registry import RegisteredModel
from slipway_core.registry.availability import list_models_within
from slipway_core.registry.memory import InMemoryRegistry


class StartingRegistry(InMemoryRegistry):
    """A registry that is unavailable for the first calls."""

    def __init__(self, failing_calls: int) -> None:
        super().__init__()
        self.left = failing_calls

    def list_models(self) -> list[RegisteredModel]:
        self.left -= 1
        self.reachable = self.left < 0
        return super().list_models()


def test_call_is_repeated_until_the_registry_is_available() -> None:
    registry = StartingRegistry(failing_calls=2)
    registry.add_version("iris", {})

    assert [model.name for model in list_models_within(registry, 30)] == ["iris"]


def test_error_is_raised_at_the_deadline() -> None:
    registry = StartingRegistry(failing_calls=1)

    with pytest.raises(RegistryUnavailableError):
        list_models_within(registry, 0)

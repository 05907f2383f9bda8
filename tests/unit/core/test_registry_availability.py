"""Calls of a registry that is starting."""

from slipway_core.registry import RegisteredModel
from slipway_core.registry.availability import list_models_within
from slipway_core.registry.memory import InMemoryRegistry


class StartingRegistry(InMemoryRegistry):
    """A registry that is available from the third call on."""

    calls = 0

    def list_models(self) -> list[RegisteredModel]:
        self.calls += 1
        self.reachable = self.calls > 2
        return super().list_models()


def test_call_is_repeated_until_the_registry_is_available() -> None:
    registry = StartingRegistry()

    assert list_models_within(registry, 30) == []
    assert registry.calls == 3

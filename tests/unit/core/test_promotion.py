"""Promotion: the alias moves first, the event is written after, and a failure leaves no half-told move."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from slipway_core.errors import RegistryError, RegistryNotFoundError, RegistryUnavailableError
from slipway_core.registry import PRODUCTION
from slipway_core.registry.events import PromotionEvent, history
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.promotion import DATA_VERSION_TAG, METRICS_TAG, promote

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class RegistryThatTakesNotes(InMemoryRegistry):
    """Notes what is set, in order; `refuse` names a call that fails."""

    def __init__(self, refuse: str = "") -> None:
        super().__init__()
        self.calls: list[str] = []
        self._refuse = refuse

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._note("alias")
        super().set_alias(name, alias, version)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        self._note("event")
        super().set_model_tag(name, key, value)

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self._refuse:
            raise RegistryUnavailableError("the model registry cannot be reached")


def with_versions(registry: InMemoryRegistry, tags: Mapping[str, str] | None = None) -> InMemoryRegistry:
    for _ in range(2):
        registry.add_version("iris", {}, tags=tags)
    return registry


def promote_iris(registry: InMemoryRegistry, version: str, reason: str = "better") -> PromotionEvent:
    return promote(registry, "iris", version, by="grace", at=NOON, reason=reason)


def production(registry: InMemoryRegistry) -> str | None:
    return registry.get_model("iris").aliases.get(PRODUCTION)


def told(registry: InMemoryRegistry) -> list[PromotionEvent]:
    return history(registry.get_model("iris").tags)


def test_production_points_to_the_promoted_version_and_the_history_tells_so() -> None:
    registry = InMemoryRegistry()
    registry.add_version("iris", {}, tags={METRICS_TAG: '{"accuracy": 0.97}', DATA_VERSION_TAG: "sha256:1"})

    event = promote_iris(registry, "1", reason="the floors are met")

    assert production(registry) == "1"
    assert told(registry) == [event]
    assert event == PromotionEvent(
        action="promote",
        version="1",
        from_version=None,
        by="grace",
        at=NOON,
        reason="the floors are met",
        metrics={"accuracy": 0.97},
        data_version="sha256:1",
    )


def test_the_history_grows_and_tells_where_production_came_from() -> None:
    registry = with_versions(InMemoryRegistry())

    for version in ("1", "2", "1"):
        promote_iris(registry, version)

    assert [(event.from_version, event.version) for event in told(registry)] == [(None, "1"), ("1", "2"), ("2", "1")]


def test_promoting_what_is_production_already_is_told_too() -> None:
    registry = with_versions(InMemoryRegistry())
    promote_iris(registry, "1")

    again = promote_iris(registry, "1", reason="to be sure")

    assert (again.from_version, again.version) == ("1", "1")
    assert [event.reason for event in told(registry)] == ["better", "to be sure"]


def test_other_tags_and_aliases_are_left_alone() -> None:
    registry = with_versions(InMemoryRegistry())
    registry.set_alias("iris", "Staging", "2")
    registry.set_model_tag("iris", "team", "botany")

    promote_iris(registry, "1")

    model = registry.get_model("iris")
    assert model.aliases == {"Staging": "2", PRODUCTION: "1"}
    assert model.tags["team"] == "botany"


def test_the_alias_is_set_first_and_the_event_after() -> None:
    registry = RegistryThatTakesNotes()

    promote_iris(with_versions(registry), "1")

    assert registry.calls == ["alias", "event"]


def test_an_event_that_cannot_be_written_leaves_the_alias_moved() -> None:
    registry = RegistryThatTakesNotes(refuse="event")

    with pytest.raises(RegistryUnavailableError):
        promote_iris(with_versions(registry), "1")

    assert production(registry) == "1"
    assert told(registry) == []


def test_an_alias_that_cannot_be_moved_leaves_no_event() -> None:
    registry = RegistryThatTakesNotes(refuse="alias")

    with pytest.raises(RegistryUnavailableError):
        promote_iris(with_versions(registry), "1")

    assert registry.calls == ["alias"]
    assert told(registry) == []


@pytest.mark.parametrize(("name", "version"), [("iris", "3"), ("roses", "1")])
def test_an_unknown_version_or_model_changes_nothing(name: str, version: str) -> None:
    registry = with_versions(InMemoryRegistry())
    promote_iris(registry, "1")
    before = registry.list_models()

    with pytest.raises(RegistryNotFoundError):
        promote(registry, name, version, by="grace", at=NOON, reason="better")

    assert registry.list_models() == before


def test_a_registry_that_is_away_is_told_as_such() -> None:
    registry = with_versions(InMemoryRegistry())
    registry.reachable = False

    with pytest.raises(RegistryError, match="cannot be reached"):
        promote_iris(registry, "1")


def test_a_version_that_someone_else_registered_has_neither_metrics_nor_data() -> None:
    event = promote_iris(with_versions(InMemoryRegistry()), "1")

    assert event.metrics == {}
    assert event.data_version is None


@pytest.mark.parametrize("value", ["", "accuracy=0.97", "[0.97]", '{"accuracy": "high"}', "null"])
def test_metrics_that_are_not_understood_do_not_stop_a_promotion(value: str) -> None:
    registry = with_versions(InMemoryRegistry(), {METRICS_TAG: value})

    event = promote_iris(registry, "1")

    assert production(registry) == "1"
    assert event.metrics == {}

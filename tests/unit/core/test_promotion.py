"""Promotion: the alias moves before the event is written, and a failure leaves a consistent history."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from slipway_core.errors import (
    HistoryNotWrittenError,
    NothingToRestoreError,
    ProductionMovedError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from slipway_core.registry import PRODUCTION
from slipway_core.registry.alias_history import moved_by_hand
from slipway_core.registry.events import PromotionEvent, history
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.promotion import (
    DATA_VERSION_TAG,
    MAX_REASON,
    METRICS_TAG,
    is_promoted,
    promote,
    rollback,
)
from slipway_core.registry.withdrawals import WITHDRAWN_TAG, is_withdrawn

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class RecordingRegistry(InMemoryRegistry):
    """A registry that records its writes in order; `refuse` is a write that fails."""

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

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self._note("withdrawn")
        super().set_version_tag(name, version, key, value)

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


def test_promotion_moves_the_alias_and_writes_an_event() -> None:
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


def test_each_event_has_the_version_before() -> None:
    registry = with_versions(InMemoryRegistry())

    for version in ("1", "2", "1"):
        promote_iris(registry, version)

    assert [(event.from_version, event.version) for event in told(registry)] == [(None, "1"), ("1", "2"), ("2", "1")]


def test_promoting_production_again_writes_an_event() -> None:
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
    registry = RecordingRegistry()

    promote_iris(with_versions(registry), "1")

    assert registry.calls == ["alias", "event"]


def test_alias_stays_moved_if_the_event_fails() -> None:
    registry = RecordingRegistry(refuse="event")

    with pytest.raises(HistoryNotWrittenError):
        promote_iris(with_versions(registry), "1")

    assert production(registry) == "1"
    assert told(registry) == []


def test_failed_alias_leaves_no_event() -> None:
    registry = RecordingRegistry(refuse="alias")

    with pytest.raises(RegistryUnavailableError):
        promote_iris(with_versions(registry), "1")

    assert registry.calls == ["alias"]
    assert told(registry) == []


@pytest.mark.parametrize(("name", "version"), [("iris", "3"), ("roses", "1")])
def test_unknown_version_or_model_changes_nothing(name: str, version: str) -> None:
    registry = with_versions(InMemoryRegistry())
    promote_iris(registry, "1")
    before = registry.list_models()

    with pytest.raises(RegistryNotFoundError):
        promote(registry, name, version, by="grace", at=NOON, reason="better")

    assert registry.list_models() == before


def test_unavailable_registry_raises_its_own_error() -> None:
    registry = with_versions(InMemoryRegistry())
    registry.reachable = False

    with pytest.raises(RegistryError, match="cannot be reached"):
        promote_iris(registry, "1")


def test_version_registered_by_others_has_no_metrics_and_data() -> None:
    event = promote_iris(with_versions(InMemoryRegistry()), "1")

    assert event.metrics == {}
    assert event.data_version is None


@pytest.mark.parametrize("value", ["", "accuracy=0.97", "[0.97]", '{"accuracy": "high"}', "null"])
def test_invalid_metrics_do_not_stop_a_promotion(value: str) -> None:
    registry = with_versions(InMemoryRegistry(), {METRICS_TAG: value})

    event = promote_iris(registry, "1")

    assert production(registry) == "1"
    assert event.metrics == {}


def roll_back(registry: InMemoryRegistry) -> PromotionEvent:
    return rollback(registry, "iris", by="grace", at=NOON, reason="it is wrong on Mondays")


def promoted(count: int) -> InMemoryRegistry:
    registry = InMemoryRegistry()
    for _ in range(count):
        promote_iris(registry, registry.add_version("iris", {}).version)
    return registry


def test_rolling_back_restores_the_version_before() -> None:
    registry = promoted(3)

    event = roll_back(registry)

    assert production(registry) == "2"
    assert told(registry)[-1] == event
    assert (event.action, event.version, event.from_version) == ("rollback", "2", "3")
    assert (event.by, event.reason) == ("grace", "it is wrong on Mondays")


def test_withdrawn_version_has_author_time_and_reason() -> None:
    registry = promoted(2)

    roll_back(registry)

    note = json.loads(registry.get_version("iris", "2").tags[WITHDRAWN_TAG])
    assert note == {"by": "grace", "at": "2026-11-20T12:00:00Z", "reason": "it is wrong on Mondays"}


def test_rollback_skips_a_deleted_version() -> None:
    registry = promoted(3)
    registry.delete_version("iris", "2")

    roll_back(registry)

    assert production(registry) == "1"


def test_manually_set_version_rolls_back_to_the_promoted_one() -> None:
    registry = promoted(1)
    by_hand = registry.add_version("iris", {}).version
    registry.set_alias("iris", PRODUCTION, by_hand)

    event = roll_back(registry)

    assert (event.from_version, event.version) == (by_hand, "1")
    assert is_withdrawn(registry.get_version("iris", by_hand))


def test_the_first_version_cannot_be_rolled_back() -> None:
    registry = promoted(1)

    with pytest.raises(NothingToRestoreError, match=r"^version 1 is the first Production version of iris"):
        roll_back(registry)

    assert production(registry) == "1"
    assert len(told(registry)) == 1
    assert not is_withdrawn(registry.get_version("iris", "1"))


def test_rollback_needs_a_production_version() -> None:
    registry = promoted(2)
    registry.delete_alias("iris", PRODUCTION)

    with pytest.raises(NothingToRestoreError, match="has no Production version"):
        roll_back(registry)


def three_promoted(registry: RecordingRegistry) -> None:
    for _ in range(3):
        promote_iris(registry, registry.add_version("iris", {}).version)
    registry.calls.clear()


def test_rollback_withdraws_then_moves_then_records() -> None:
    registry = RecordingRegistry()
    three_promoted(registry)

    roll_back(registry)

    assert registry.calls == ["withdrawn", "alias", "event"]


@pytest.mark.parametrize("failing", ["withdrawn", "alias", "event"])
def test_repeated_rollback_after_a_failure_has_the_same_result(failing: str) -> None:
    registry = RecordingRegistry()
    three_promoted(registry)
    registry._refuse = failing
    with pytest.raises((RegistryUnavailableError, HistoryNotWrittenError)):
        roll_back(registry)
    registry._refuse = ""
    moved = production(registry) == "2"

    if not moved:
        roll_back(registry)

    assert production(registry) == "2"
    assert [is_withdrawn(version) for version in registry.list_versions("iris")] == [True, False, False]
    # Another rollback goes further back, and skips withdrawn versions.
    roll_back(registry)
    assert production(registry) == "1"


def test_move_without_event_raises_history_not_written() -> None:
    registry = RecordingRegistry()
    three_promoted(registry)
    registry._refuse = "event"

    with pytest.raises(HistoryNotWrittenError, match=r"^Production of iris is now version 2.*do not repeat"):
        roll_back(registry)

    assert moved_by_hand(registry.get_model("iris"))


def test_failed_event_is_retried() -> None:
    class Hiccup(InMemoryRegistry):
        failures = 1

        def set_model_tag(self, name: str, key: str, value: str) -> None:
            if self.failures:
                self.failures -= 1
                raise RegistryUnavailableError("the model registry did not respond in time")
            super().set_model_tag(name, key, value)

    registry = with_versions(Hiccup())

    event = promote_iris(registry, "2")

    assert told(registry) == [event]


def test_simultaneous_moves_both_write_events() -> None:
    class Crowded(InMemoryRegistry):
        """Another mover writes its event under the same number just after ours."""

        crowded = True

        def set_model_tag(self, name: str, key: str, value: str) -> None:
            super().set_model_tag(name, key, value)
            if self.crowded:
                self.crowded = False
                other = PromotionEvent(
                    action="promote", version="1", from_version=None, by="bob", at=NOON, reason="mine"
                )
                super().set_model_tag(name, key, other.to_tag())

    registry = with_versions(Crowded())

    promote_iris(registry, "2")

    assert {event.by for event in told(registry)} == {"bob", "grace"}


@pytest.mark.parametrize("expected", [None, "2"])
def test_promotion_gated_against_another_champion_is_rejected(expected: str | None) -> None:
    registry = promoted(2) if expected is None else promoted(1)
    before = production(registry)
    new = registry.add_version("iris", {}).version

    with pytest.raises(ProductionMovedError, match=f"to version {before}; train again"):
        promote(registry, "iris", new, by="gate", at=NOON, reason="better", expected=expected)

    assert production(registry) == before


@pytest.mark.parametrize("count", [0, 1])
def test_promotion_with_the_expected_champion_succeeds(count: int) -> None:
    registry = promoted(count)
    new = registry.add_version("iris", {}).version

    promote(registry, "iris", new, by="gate", at=NOON, reason="better", expected="1" if count else None)

    assert production(registry) == new


def test_rollback_from_another_version_than_expected_changes_nothing() -> None:
    registry = with_versions(InMemoryRegistry())
    promote_iris(registry, "1")
    promote_iris(registry, "2")

    with pytest.raises(ProductionMovedError, match="Production of iris is version 2, not version 1, so it was not"):
        rollback(registry, "iris", by="grace", at=NOON, reason="worse", expected="1")

    assert production(registry) == "2"
    assert not is_withdrawn(registry.get_version("iris", "2"))
    assert rollback(registry, "iris", by="grace", at=NOON, reason="worse", expected="2").version == "1"


def test_promotion_changes_nothing_only_for_a_production_version_in_use() -> None:
    registry = with_versions(InMemoryRegistry())
    promote_iris(registry, "1")
    assert [is_promoted(registry, registry.get_version("iris", version)) for version in "12"] == [True, False]

    registry.set_version_tag("iris", "1", WITHDRAWN_TAG, "{}")
    assert not is_promoted(registry, registry.get_version("iris", "1"))


def test_long_reason_is_truncated() -> None:
    registry = promoted(2)

    event = rollback(registry, "iris", by="grace", at=NOON, reason="very " * 10_000)

    assert event.reason == told(registry)[-1].reason
    assert len(event.reason) == MAX_REASON
    assert event.reason.endswith("…")
    assert len(registry.get_version("iris", "2").tags[WITHDRAWN_TAG]) < 5_000

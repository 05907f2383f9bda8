"""The history of Production: recorded moves, external moves, and the version that a rollback restores."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_core.errors import NothingToRestoreError
from slipway_core.registry import PRODUCTION, RegisteredModel, Registry
from slipway_core.registry.alias_history import held_before, moved_by_hand, moves
from slipway_core.registry.events import EVENT_PREFIX, PromotionEvent
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.promotion import promote, rollback

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Told = tuple[Literal["promote", "rollback"], str | None, str]


def model(events: Sequence[Told], production: str | None) -> RegisteredModel:
    tags = {
        f"{EVENT_PREFIX}{number:06d}": PromotionEvent(
            action=action, version=version, from_version=before, by="ada", at=NOON, reason="because"
        ).to_tag()
        for number, (action, before, version) in enumerate(events, start=1)
    }
    return RegisteredModel("iris", aliases={PRODUCTION: production} if production else {}, tags=tags)


def told(found: RegisteredModel) -> list[tuple[str, str | None, str | None]]:
    return [(move.action, move.from_version, move.version) for move in moves(found)]


def test_model_without_promotion_has_no_moves() -> None:
    assert moves(model([], None)) == []


def test_recorded_moves_are_listed_in_order() -> None:
    found = model([("promote", None, "1"), ("promote", "1", "2"), ("rollback", "2", "1")], "1")

    assert told(found) == [("promote", None, "1"), ("promote", "1", "2"), ("rollback", "2", "1")]
    assert not moved_by_hand(found)


def test_alias_unlike_the_last_event_was_moved_by_hand() -> None:
    found = model([("promote", None, "1")], "3")

    assert told(found)[-1] == ("external", "1", "3")
    assert moves(found)[-1].at is None
    assert moved_by_hand(found)


def test_alias_set_before_the_first_event_is_external() -> None:
    assert told(model([], "2")) == [("external", None, "2")]
    assert told(model([("promote", "2", "3")], "3")) == [("external", None, "2"), ("promote", "2", "3")]


def test_removed_alias_is_an_external_move() -> None:
    found = model([("promote", None, "1")], None)

    assert told(found)[-1] == ("external", "1", None)
    assert moved_by_hand(found)


def test_manual_move_between_two_events_is_listed_between_them() -> None:
    found = model([("promote", None, "1"), ("promote", "5", "6")], "6")

    assert told(found) == [("promote", None, "1"), ("external", "1", "5"), ("promote", "5", "6")]
    assert not moved_by_hand(found)


@pytest.mark.parametrize(
    ("events", "production", "expected"),
    [
        ([], None, []),
        ([], "4", []),
        ([("promote", None, "1")], "1", []),
        ([("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3")], "3", ["2", "1"]),
        ([("promote", None, "1"), ("promote", "1", "2"), ("rollback", "2", "1")], "1", []),
        ([("promote", None, "1"), ("promote", "1", "2"), ("rollback", "2", "1"), ("promote", "1", "3")], "3", ["1"]),
        ([("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "1")], "1", ["2", "1"]),
        ([("promote", None, "1"), ("promote", "1", "1")], "1", []),
        ([("promote", None, "1")], "7", ["1"]),
        # An external move to the version before counts as a rollback.
        ([("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3")], "2", ["1"]),
        ([("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3")], "1", ["3", "2", "1"]),
    ],
)
def test_earlier_versions_are_a_stack_for_rollbacks(
    events: list[Told], production: str | None, expected: list[str]
) -> None:
    assert held_before(moves(model(events, production))) == expected


@given(st.lists(st.sampled_from(["promote", "rollback", "by hand"]), max_size=25))
def test_repeated_rollbacks_end_at_the_first_version(actions: list[str]) -> None:
    registry = InMemoryRegistry()
    for action in actions:
        if action == "rollback":
            roll_back(registry)
        else:
            version = registry.add_version("iris", {}).version
            if action == "promote":
                promote(registry, "iris", version, by="ada", at=NOON, reason="new")
            else:
                registry.set_alias("iris", PRODUCTION, version)
    seen = []
    while roll_back(registry):
        seen.append(int(registry.get_model("iris").aliases[PRODUCTION]))

    # Version numbers only grew here, so each rollback restores a lower one, and the rollbacks end.
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen))


def roll_back(registry: Registry) -> bool:
    """Roll back; return whether an earlier version was restored."""
    if not registry.list_models():
        return False
    try:
        rollback(registry, "iris", by="ada", at=NOON, reason="bad")
    except NothingToRestoreError:
        return False
    return True

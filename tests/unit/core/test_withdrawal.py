"""Withdrawal: a rollback never restores a withdrawn version, and a promotion by hand lifts the withdrawal."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from slipway_core.errors import NothingToRestoreError
from slipway_core.registry import PRODUCTION
from slipway_core.registry.events import history
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.promotion import promote, rollback
from slipway_core.registry.withdrawals import MODEL_DIGEST_TAG, WITHDRAWN_TAG, is_withdrawn, withdrawals

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
minutes = count()


def registry_of(graphs: str) -> InMemoryRegistry:
    """Return a registry with a version for each letter; equal letters are equal graphs."""
    registry = InMemoryRegistry()
    for graph in graphs:
        registry.add_version("iris", {}, tags={MODEL_DIGEST_TAG: graph})
    return registry


def run(registry: InMemoryRegistry, moves: str) -> list[str]:
    """Promote a version for each digit, roll back for each `<`; return where Production pointed after each move."""
    pointed = []
    for move in moves:
        at = NOON + timedelta(minutes=next(minutes))
        if move == "<":
            rollback(registry, "iris", by="ada", at=at, reason="bad")
        else:
            promote(registry, "iris", move, by="ada", at=at, reason="by hand")
        pointed.append(registry.get_model("iris").aliases[PRODUCTION])
    return pointed


def withdrawn(registry: InMemoryRegistry) -> set[str]:
    return {version.version for version in registry.list_versions("iris") if is_withdrawn(version)}


@pytest.mark.parametrize(
    ("moves", "production", "left_withdrawn"),
    [
        ("12<", "1", {"2"}),
        ("121<", "2", {"1"}),
        ("12<2", "2", set()),
        ("12<2<", "1", {"2"}),
        ("123<<", "1", {"2", "3"}),
        ("12<3<", "1", {"2", "3"}),
        ("312<13<", "1", {"2", "3"}),
        ("1231<<", "2", {"1", "3"}),
        ("12131<<", "2", {"1", "3"}),
    ],
)
def test_rollback_skips_withdrawn_versions(moves: str, production: str, left_withdrawn: set[str]) -> None:
    registry = registry_of("abc")

    assert run(registry, moves)[-1] == production
    assert withdrawn(registry) == left_withdrawn


@pytest.mark.parametrize("moves", ["121<", "1212<", "12312<<"])
def test_rollback_with_only_withdrawn_versions_names_promote(moves: str) -> None:
    registry = registry_of("abc")
    run(registry, moves)
    before = registry.get_model("iris").aliases[PRODUCTION]

    with pytest.raises(NothingToRestoreError, match=r"is withdrawn; to lift .*: slipway models promote iris [1-3]$"):
        run(registry, "<<<")

    assert registry.get_model("iris").aliases[PRODUCTION] in set("123") - withdrawn(registry)
    assert before in {*withdrawn(registry), registry.get_model("iris").aliases[PRODUCTION]}


def test_promotion_of_withdrawn_version_records_the_lift() -> None:
    registry = registry_of("ab")

    run(registry, "12<2")

    *_, event = history(registry.get_model("iris").tags)
    assert (event.action, event.reason) == ("promote", "by hand; lifts the withdrawal of version 2")


def test_promotion_lifts_the_withdrawal_of_equal_graphs() -> None:
    registry = registry_of("abb")
    run(registry, "12<")

    run(registry, "3")

    assert withdrawn(registry) == set()
    assert history(registry.get_model("iris").tags)[-1].reason.endswith("lifts the withdrawal of version 2")


@pytest.mark.parametrize(
    ("graphs", "moves", "expected"),
    [
        ("aba", "12<", []),
        ("abb", "12<", ["2"]),
        # Rolled back from 1 to 2, which has the same graph: the graph still serves.
        ("aaa", "121<", []),
        ("baa", "12<", ["2"]),
        ("aabb", "134<<", ["3"]),
    ],
)
def test_withdrawals_follow_the_graph(graphs: str, moves: str, expected: list[str]) -> None:
    registry = registry_of(graphs)
    run(registry, moves)

    newest = registry.list_versions("iris")[0]
    assert [
        version.version for version in withdrawals(registry, newest) if version.version != newest.version
    ] == expected


def test_withdrawal_note_of_unknown_form_still_counts() -> None:
    registry = registry_of("aa")
    registry.set_version_tag("iris", "1", WITHDRAWN_TAG, "2026-11-20T12:00:00Z")

    assert [version.version for version in withdrawals(registry, registry.get_version("iris", "2"))] == ["1"]

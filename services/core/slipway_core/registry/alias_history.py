"""The moves of the alias Production, oldest first, including moves made outside of Slipway."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from slipway_core.registry.base import PRODUCTION, RegisteredModel
from slipway_core.registry.events import PromotionEvent, history


@dataclass(frozen=True)
class Move:
    """One move of the alias Production.

    Attributes:
        action: `external` is a move without an event: the alias was set outside of Slipway.
        version: the version that the alias points to after the move; None if the alias was removed.
        from_version: the version that it pointed to before; None if it was not set.
        event: the recorded event; None for an external move.
    """

    action: Literal["promote", "rollback", "external"]
    version: str | None
    from_version: str | None
    event: PromotionEvent | None = None

    @property
    def at(self) -> datetime | None:
        """The time of the move, UTC; None for an external move."""
        return self.event.at if self.event else None


def moves(model: RegisteredModel) -> list[Move]:
    """Return every move of a model's Production alias, oldest first.

    An event that does not start at the end of the previous one implies an external move in between; so does an alias
    that differs from the last event.
    """
    found: list[Move] = []
    version: str | None = None
    for event in history(model.tags):
        if event.from_version != version:
            found.append(Move("external", event.from_version, version))
        found.append(Move(event.action, event.version, event.from_version, event))
        version = event.version
    current = model.aliases.get(PRODUCTION)
    if current != version:
        found.append(Move("external", current, version))
    return found


def moved_by_hand(model: RegisteredModel) -> bool:
    """Return whether Production differs from the last event."""
    return bool(alias_moves := moves(model)) and alias_moves[-1].action == "external"


def held_before(alias_moves: Sequence[Move]) -> list[str]:
    """Return the versions that a rollback can restore, most recent first.

    Each promotion, and each external move, adds its version to a stack. Each rollback removes the versions above the
    version that it restored, so repeated rollbacks go further back instead of alternating. An external move to the
    second version from the top also counts as a rollback: it was made in MLflow, or its event could not be written.
    """
    held: list[str] = []
    for move in alias_moves:
        if move.version is None:
            continue
        is_back_by_hand = move.action == "external" and held[-2:-1] == [move.version]
        if is_back_by_hand or (move.action == "rollback" and move.version in held):
            last = len(held) - 1 - held[::-1].index(move.version)
            del held[last + 1 :]
        elif not held or held[-1] != move.version:
            held.append(move.version)
    return held[-2::-1]

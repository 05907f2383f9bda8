"""Promote and roll back versions for administrators, and read the history of Production."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from slipway_api.errors import ConflictError, NotFoundError, NotReadyError
from slipway_core.bounded_executor import BoundedExecutor
from slipway_core.errors import (
    ConfigurationError,
    HistoryNotWrittenError,
    NothingToRestoreError,
    ProductionMovedError,
    RegistryError,
    RegistryNotFoundError,
    SignatureError,
)
from slipway_core.logging import get_logger
from slipway_core.registry import Registry, promotion
from slipway_core.registry.alias_history import Move, moves
from slipway_core.registry.events import Action, PromotionEvent
from slipway_core.registry.limits import deadline
from slipway_core.registry.signatures import with_accepted_events
from slipway_core.signing import Signer, TrustedKeys

# For all calls of one promotion: less than the time limit of a request.
CALL_SECONDS = 15.0
READERS = 2
MAX_WAITING = 16

T = TypeVar("T")

log = get_logger("slipway.promotions")


@dataclass(frozen=True)
class Promoted:
    """The result of a promotion or rollback.

    Attributes:
        event: the event; None if the version was Production already.
        warning: why the event could not be added to the history; None if it was.
    """

    event: PromotionEvent | None
    warning: str | None = None


class Promoter:
    """Calls the registry in threads of its own. One thread makes all changes, so that two never interleave."""

    def __init__(self, registry: Registry, signer: Signer | None = None, trusted: TrustedKeys | None = None) -> None:
        """Start no thread yet.

        Args:
            registry: the registry to change and to read.
            signer: signs the events; None to write unsigned ones.
            trusted: the keys whose events count as history; None to accept all events.
        """
        self._registry = registry
        self._signer = signer
        self._trusted = trusted
        self._changes = BoundedExecutor("promotions", 1, MAX_WAITING, _busy)
        self._reads = BoundedExecutor("history", READERS, MAX_WAITING, _busy)

    async def promote(self, name: str, version: str, *, by: str, reason: str, expected: str | None = None) -> Promoted:
        """Make a version Production, regardless of the gate, unless it is already.

        Args:
            name: the model's name.
            version: the version to promote.
            by: the name of the account.
            reason: the reason for the history.
            expected: the version that Production must still point to; None for any.

        Raises:
            NotFoundError: the model or version is not registered.
            ConflictError: Production points to another version than `expected`.
            NotReadyError: the registry does not respond, or too many changes wait.
        """

        def change() -> Promoted:
            chosen = self._registry.get_version(name, version)
            if promotion.is_promoted(self._registry, chosen, signer=self._signer, trusted=self._trusted):
                return Promoted(None)
            return self._move(
                "promote", partial(promotion.promote, self._registry, name, version), by, reason, expected
            )

        return await self._changes.run(partial(_calling, name, change))

    async def rollback(self, name: str, *, by: str, reason: str, expected: str | None = None) -> Promoted:
        """Restore the previous Production version, and withdraw the current one.

        Args:
            name: the model's name.
            by: the name of the account.
            reason: the reason for the history.
            expected: the version that Production must still point to; None for any.

        Raises:
            NotFoundError: the model is not registered.
            ConflictError: no version can be restored, or Production points to another version than `expected`.
            NotReadyError: the registry does not respond, or too many changes wait.
        """
        move = partial(promotion.rollback, self._registry, name)
        return await self._changes.run(
            partial(_calling, name, partial(self._move, "rollback", move, by, reason, expected))
        )

    async def history(self, name: str) -> list[Move]:
        """Return the moves of a model's Production alias, newest first. With trusted keys, only signed events count.

        Raises:
            NotFoundError: the model is not registered.
            NotReadyError: the registry does not respond, or too many calls wait.
        """

        def read() -> list[Move]:
            model = self._registry.get_model(name)
            return moves(model if self._trusted is None else with_accepted_events(model, self._trusted))[::-1]

        return await self._reads.run(partial(_calling, name, read))

    def close(self) -> None:
        """Cancel the waiting calls."""
        self._changes.close()
        self._reads.close()

    def _move(
        self, action: Action, move: Callable[..., PromotionEvent], by: str, reason: str, expected: str | None
    ) -> Promoted:
        """Move Production. Every change of it by this service passes here."""
        at = datetime.now(UTC)
        options = {} if expected is None else {"expected": expected}
        warning = None
        try:
            event = move(by=by, at=at, reason=reason, signer=self._signer, trusted=self._trusted, **options)
        except HistoryNotWrittenError as error:
            event = PromotionEvent(
                action=action, version=error.version, from_version=error.from_version, by=by, at=at, reason=reason
            )
            warning = str(error)
            log.warning("promotion_not_in_history", reason=warning)
        log.info("production_moved", action=action, version=event.version, before=event.from_version)
        return Promoted(event, warning)


def _calling(name: str, function: Callable[[], T]) -> T:
    """Call the registry within the time limit, and convert its errors."""
    try:
        with deadline(CALL_SECONDS):
            return function()
    except SignatureError as error:
        raise ConflictError(str(error)) from error
    except ConfigurationError as error:
        raise ConflictError(
            f"the history of {name} is signed, and this service has no signing key: set SLIPWAY_SIGNING_KEY_FILE for it"
        ) from error
    except RegistryNotFoundError as error:
        raise NotFoundError(str(error)) from error
    except RegistryError as error:
        raise NotReadyError(str(error)) from error
    except NothingToRestoreError as error:
        raise ConflictError(str(error)) from error
    except ProductionMovedError as error:
        raise ConflictError(
            f"Production of {name} no longer points to the version in `from`, so nothing was changed: see "
            f"GET /models/{name}/history"
        ) from error


def _busy() -> NotReadyError:
    return NotReadyError("too many promotions or reads of the history wait for the model registry; try again")

"""The states that explain why a model is not served."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class LoadFailure:
    """Why the wanted version is not served.

    Attributes:
        version: the version that could not be loaded.
        at: time of the last attempt, UTC.
        retry_at: time of the next attempt, on the store's clock.
    """

    version: str
    reason: str
    at: datetime
    attempts: int
    retry_at: float


@dataclass(frozen=True)
class RegistryStatus:
    """Whether the registry responds.

    Attributes:
        answered: whether it has ever responded.
        since: the start of the current state, UTC.
        reason: why it does not respond; None if it does.
    """

    reachable: bool
    answered: bool
    since: datetime
    reason: str | None = None

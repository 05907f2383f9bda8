"""What keeps the served models from being what they should be."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class LoadFailure:
    """Why the version that should be served is not.

    Attributes:
        version: the version that could not be loaded.
        at: when it was tried last, UTC.
        retry_at: when it is tried again, on the store's clock.
    """

    version: str
    reason: str
    at: datetime
    attempts: int
    retry_at: float


@dataclass(frozen=True)
class RegistryStatus:
    """Whether the registry answers.

    Attributes:
        answered: whether it has ever answered.
        since: when it began to be as it is, UTC.
        reason: why it does not answer; None if it does.
    """

    reachable: bool
    answered: bool
    since: datetime
    reason: str | None = None

"""Read logged predictions with their lineage, and store feedback for them."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol, Self, TypeVar

from slipway_api.errors import NotFoundError, NotReadyError, NotYetThereError
from slipway_core.bounded_executor import BoundedExecutor

DATABASE_AWAY = "predictions cannot be read: the database is unavailable; try again in a moment"
# The usual time until a prediction is in the database is a fraction of this.
WAIT_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.03
LONGEST_PAUSE_SECONDS = 0.2
# An id of this age or younger may still be on its way to the database, so the client should retry.
RECENT_SECONDS = 60.0
CLOCK_SKEW_SECONDS = 5.0
# Concurrent reads and waiting reads: the database may be slow, and memory is limited.
THREADS = 4
MAX_WAITING = 64

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


@dataclass(frozen=True)
class Position:
    """A place in the log, which is ordered newest first: directly after this prediction."""

    at: datetime
    id: uuid.UUID

    def key(self) -> bytes:
        """Return the position as bytes, for a cursor."""
        microseconds = (self.at - EPOCH) // timedelta(microseconds=1)
        return microseconds.to_bytes(8, "big") + self.id.bytes

    @classmethod
    def of_key(cls, key: bytes) -> Self:
        """Return the position from the bytes of `key`.

        Raises:
            ValueError: they have another length.
            OverflowError: the time is out of range.
        """
        microseconds = int.from_bytes(key[:8], "big")
        return cls(EPOCH + timedelta(microseconds=microseconds), uuid.UUID(bytes=key[8:]))


@dataclass(frozen=True)
class Origin:
    """The lineage of a model version.

    Attributes:
        features: their names, in the order of the inputs.
        classes: the label of each class index, or None.
    """

    run_id: str
    data_version: str
    git_commit: str | None
    task: str
    features: tuple[str, ...]
    classes: tuple[str | int, ...] | None


@dataclass(frozen=True)
class Feedback:
    """The true value of a row.

    Attributes:
        by: the account that sent the feedback.
        correct: for a classifier, whether the prediction was right; otherwise None.
        error: for a regressor, the predicted value minus the true one; otherwise None.
    """

    prediction_id: uuid.UUID
    row: int
    at: datetime
    by: uuid.UUID
    model: str
    version: str
    label: str | None = None
    value: float | None = None
    correct: bool | None = None
    error: float | None = None


@dataclass(frozen=True)
class LoggedPrediction:
    """One logged request with its response.

    Attributes:
        inputs: JSON text, an array per row; null for a redacted value of a matrix, `{"redacted": true}` in a table.
        prediction: class indices or values, one per row.
        scores: JSON text, an array of probabilities per row, or None.
        origin: the lineage; None if it was lost, which only a damaged journal causes.
        feedback: the feedback for its rows; only read with a single prediction.
    """

    id: uuid.UUID
    at: datetime
    user_id: uuid.UUID
    model: str
    version: str
    manifest_sha256: str
    inputs: str
    prediction: tuple[float, ...]
    scores: str | None
    latency_seconds: float
    request_id: str
    origin: Origin | None = None
    feedback: tuple[Feedback, ...] = ()


@dataclass(frozen=True)
class PredictionQuery:
    """A filter and position for a page of predictions.

    Attributes:
        user_id: the owner; None for all users.
        since: the earliest time.
        after: the end of the previous page.
        max_rows: a page ends early if it would exceed this number of rows, but holds at least one prediction.
        models: the models that the caller may use; None for all.
    """

    user_id: uuid.UUID | None
    model: str | None
    since: datetime | None
    after: Position | None
    limit: int
    max_rows: int
    models: frozenset[str] | None = None


@dataclass(frozen=True)
class Page:
    """Predictions, newest first, and the start of the next page, if there is one."""

    predictions: tuple[LoggedPrediction, ...]
    next: Position | None


@dataclass(frozen=True)
class LiveFigures:
    """The live accuracy or error of a model version in a window.

    Attributes:
        accuracy: the share of correct predictions; None without labels.
        mean_absolute_error: None without values, as `mean_squared_error`.
    """

    model: str
    version: str
    rows: int
    accuracy: float | None
    mean_absolute_error: float | None
    mean_squared_error: float | None


class PredictionStore(Protocol):
    """The storage of the log. Its calls block, and raise NotReadyError while the database is unavailable."""

    def find(self, prediction_id: uuid.UUID, user_id: uuid.UUID | None) -> LoggedPrediction | None:
        """Return a prediction of a user, or of any user for None; return None if it does not exist."""
        ...

    def page(self, query: PredictionQuery) -> Page:
        """Return the page that a query selects."""
        ...

    def add_feedback(self, feedback: Feedback) -> None:
        """Store feedback; raises ConflictError if the row has feedback, NotFoundError if the prediction was deleted."""
        ...

    def live_figures(self, since: datetime) -> Sequence[LiveFigures]:
        """Return the live figures of each model version from the feedback since a time."""
        ...


class Predictions:
    """Asynchronous access to the store, which is opened at first use; its calls run in separate threads."""

    def __init__(self, open_store: Callable[[], PredictionStore], clock: Callable[[], float] = time.time) -> None:
        self._open_store = open_store
        self._store: PredictionStore | None = None
        self._lock = threading.Lock()
        self._clock = clock
        full = partial(NotReadyError, "too many requests are reading predictions; try again in a moment")
        self._executor = BoundedExecutor("predictions", THREADS, MAX_WAITING, full)

    @property
    def store(self) -> PredictionStore:
        """The store. The first use opens it and blocks."""
        with self._lock:
            if self._store is None:
                self._store = self._open_store()
            return self._store

    async def call(self, function: Callable[[PredictionStore], T]) -> T:
        """Run a call of the store without blocking the event loop.

        Raises:
            NotReadyError: the database is unavailable, or too many calls are waiting.
        """
        return await self._executor.run(lambda: function(self.store))

    async def find(self, prediction_id: uuid.UUID, user_id: uuid.UUID | None) -> LoggedPrediction:
        """Return a prediction of a user, or of any user for None; wait briefly for a new one.

        Raises:
            NotFoundError: it does not exist.
            NotYetThereError: it is not stored yet, but its id is so recent that it may be soon.
            NotReadyError: the database is unavailable.
        """
        deadline, pause = time.monotonic() + WAIT_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            found = await self.call(lambda store: store.find(prediction_id, user_id))
            if found is not None:
                return found
            if not self._is_recent(prediction_id):
                raise NotFoundError(f"you have no prediction {prediction_id}")
            if time.monotonic() + pause > deadline:
                raise NotYetThereError(
                    f"prediction {prediction_id} is not stored yet; if it was made just now, try again"
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Stop the threads."""
        self._executor.close()

    def _is_recent(self, prediction_id: uuid.UUID) -> bool:
        if prediction_id.version != 7:  # noqa: PLR2004  # of RFC 9562, the only one that we make
            return False
        age = self._clock() - (prediction_id.int >> 80) / 1000
        return -CLOCK_SKEW_SECONDS <= age <= RECENT_SECONDS

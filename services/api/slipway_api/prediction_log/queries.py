"""The prediction log as it is read: what was predicted, where it came from, and what turned out to be true."""

import asyncio
import base64
import binascii
import struct
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self, TypeVar

from slipway_api.errors import NotFoundError, NotReadyError, NotYetThereError

DATABASE_AWAY = "predictions cannot be read now: the database is away; try again in a moment"
# A prediction is in the database within a fraction of this, unless something is wrong.
WAIT_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.03
LONGEST_PAUSE_SECONDS = 0.2
# Which ids are worth waiting for, and to be asked for again.
RECENT_SECONDS = 60.0
CLOCK_SKEW_SECONDS = 5.0
# Reads that run at a time, and those that wait: the database may take its time, and memory is finite.
THREADS = 4
MAX_WAITING = 64

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = struct.Struct(">q16s")

T = TypeVar("T")


@dataclass(frozen=True)
class Position:
    """A place in the log, newest first: after this prediction."""

    at: datetime
    id: uuid.UUID

    def cursor(self) -> str:
        """Return the position as an opaque text that fits into an address."""
        microseconds = (self.at - EPOCH) // timedelta(microseconds=1)
        return base64.urlsafe_b64encode(_CURSOR.pack(microseconds, self.id.bytes)).decode()

    @classmethod
    def of_cursor(cls, text: str) -> Self:
        """Read what `cursor` has written.

        Raises:
            ValueError: it is not such a text.
        """
        try:
            microseconds, identity = _CURSOR.unpack(base64.b64decode(text.encode("ascii"), b"-_", validate=True))
            if microseconds < 0:
                raise OverflowError
            return cls(EPOCH + timedelta(microseconds=microseconds), uuid.UUID(bytes=identity))
        except (binascii.Error, struct.error, OverflowError, UnicodeEncodeError) as error:
            raise ValueError("this is no cursor of this service") from error


@dataclass(frozen=True)
class Origin:
    """Where the predictions of a model version come from.

    Attributes:
        features: their names, in the order of the inputs.
        classes: the label of each class index, or None.
    """

    run_id: str
    data_version: str
    git_commit: str | None
    task: str
    features: tuple[str, ...]
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class Feedback:
    """What turned out to be true of a row.

    Attributes:
        by: the account that told it.
        correct: of a classifier, whether it was predicted; else None.
        error: of a regressor, the predicted value less the true one; else None.
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
    """One answered request.

    Attributes:
        inputs: JSON text, an array a row; null for a value that is not kept.
        prediction: class indices or values, one a row.
        scores: JSON text, an array of probabilities a row, or None.
        origin: None if it is not known, which only a damaged journal brings about.
        feedback: what is known of its rows; read with a single prediction only.
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
    """Which predictions are asked for.

    Attributes:
        user_id: whose; None for everybody's.
        since: not older than this.
        after: where the last page ended.
        max_rows: a page ends early rather than hold more rows than this, but holds one prediction at least.
    """

    user_id: uuid.UUID | None
    model: str | None
    since: datetime | None
    after: Position | None
    limit: int
    max_rows: int


@dataclass(frozen=True)
class Page:
    """Predictions, newest first, and where the next page begins, if there is one."""

    predictions: tuple[LoggedPrediction, ...]
    next: Position | None


@dataclass(frozen=True)
class LiveFigures:
    """What feedback says of a model version in a window.

    Attributes:
        accuracy: the share of rows predicted right; None without labels.
        mean_absolute_error: None without values, as `mean_squared_error`.
    """

    model: str
    version: str
    rows: int
    accuracy: float | None
    mean_absolute_error: float | None
    mean_squared_error: float | None


class PredictionStore(Protocol):
    """Where the log is kept. Its calls block, and raise NotReadyError while the database is away."""

    def find(self, prediction_id: uuid.UUID, user_id: uuid.UUID | None) -> LoggedPrediction | None:
        """Return a prediction of a user (None: of anybody); None if there is none."""
        ...

    def page(self, query: PredictionQuery) -> Page:
        """Return what a query asks for."""
        ...

    def add_feedback(self, feedback: Feedback) -> None:
        """Keep feedback; raises ConflictError if the row has some, NotFoundError if the prediction is gone."""
        ...

    def live_figures(self, since: datetime) -> Sequence[LiveFigures]:
        """Return what the feedback since a time says of each model version."""
        ...


class Predictions:
    """The store, opened at its first use, asked in threads of its own so that it holds up nothing else."""

    def __init__(self, open_store: Callable[[], PredictionStore], clock: Callable[[], float] = time.time) -> None:
        self._open_store = open_store
        self._store: PredictionStore | None = None
        self._lock = threading.Lock()
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="predictions")
        self._asked = 0

    @property
    def store(self) -> PredictionStore:
        """The store. The first use blocks: it opens it."""
        with self._lock:
            if self._store is None:
                self._store = self._open_store()
            return self._store

    async def ask(self, question: Callable[[PredictionStore], T]) -> T:
        """Ask the store without holding up the loop.

        Raises:
            NotReadyError: the database is away, or too many ask at once.
        """
        if self._asked >= THREADS + MAX_WAITING:
            raise NotReadyError("too many predictions are read at once; try again in a moment")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: question(self.store))
        finally:
            self._asked -= 1

    async def find(self, prediction_id: uuid.UUID, user_id: uuid.UUID | None) -> LoggedPrediction:
        """Return a prediction of a user (None: of anybody); wait a moment for one that was made just now.

        Raises:
            NotFoundError: there is none.
            NotYetThereError: there is none, but its id is so young that it may come yet.
            NotReadyError: the database is away.
        """
        deadline, pause = time.monotonic() + WAIT_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            found = await self.ask(lambda store: store.find(prediction_id, user_id))
            if found is not None:
                return found
            if not self._is_recent(prediction_id):
                raise NotFoundError(f"there is no prediction {prediction_id} of yours")
            if time.monotonic() + pause > deadline:
                raise NotYetThereError(
                    f"there is no prediction {prediction_id} of yours yet; if it was made just now, try again"
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_recent(self, prediction_id: uuid.UUID) -> bool:
        if prediction_id.version != 7:  # noqa: PLR2004  # of RFC 9562, the only one that we make
            return False
        age = self._clock() - (prediction_id.int >> 80) / 1000
        return -CLOCK_SKEW_SECONDS <= age <= RECENT_SECONDS

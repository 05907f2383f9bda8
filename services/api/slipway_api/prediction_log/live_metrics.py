"""Gauges that are refreshed periodically: live accuracy from the database, and the journal's state from its folder."""

import asyncio
import math
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import Counter, Gauge

from slipway_api.errors import NotReadyError
from slipway_api.prediction_log.journal import SUFFIX
from slipway_api.prediction_log.metrics import PredictionLogMetrics
from slipway_api.prediction_log.queries import LiveFigures, Predictions
from slipway_api.prediction_log.segments import folder_bytes
from slipway_core.logging import get_logger

LIVE_SECONDS = 10.0
JOURNAL_SECONDS = 2.0
# The pause after a read, as a multiple of the read's duration, while feedback arrives continuously.
REST_PER_READ = 9

log = get_logger("slipway.predictions")


class LiveMetrics:
    """Refresh the gauges in the background."""

    def __init__(
        self,
        predictions: Predictions,
        metrics: PredictionLogMetrics,
        feedback_rows: Counter,
        *,
        window_seconds: float,
        journal: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._predictions = predictions
        self._metrics = metrics
        self._feedback_rows = feedback_rows
        self._window = timedelta(seconds=window_seconds)
        self._journal = journal
        self._clock = clock
        self._shown: dict[Gauge, set[tuple[str, str]]] = {}
        self._lock = threading.Lock()
        self._away = False
        self._refreshing: asyncio.Task[None] | None = None
        self._is_stale = False

    async def watch(self) -> None:
        """Refresh the gauges periodically until cancelled."""
        next_live = 0.0
        while True:
            try:
                await asyncio.to_thread(self.read_journal)
                if time.monotonic() >= next_live:
                    next_live = time.monotonic() + LIVE_SECONDS
                    await self.refresh()
            except Exception:  # retry at the next interval
                log.exception("live_metrics_failed")
            await asyncio.sleep(JOURNAL_SECONDS)

    def count_feedback(self, model: str, version: str) -> None:
        """Count a row with feedback, and refresh the live figures soon, without blocking.

        Feedback that arrives at once causes one refresh.
        """
        self._feedback_rows.labels(model, version).inc()
        self._is_stale = True
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh_while_stale())

    async def _refresh_while_stale(self) -> None:
        while self._is_stale:
            self._is_stale = False
            began = time.monotonic()
            await self.refresh()
            # Limit the share of time spent on reading a large table.
            await asyncio.sleep((time.monotonic() - began) * REST_PER_READ)

    async def refresh(self) -> None:
        """Refresh the live figures; while the database is unavailable, keep the last ones."""
        since = datetime.fromtimestamp(self._clock(), UTC) - self._window
        try:
            figures = await self._predictions.call(lambda store: store.live_figures(since))
        except NotReadyError as error:
            if not self._away:
                log.warning("live_metrics_unreadable", reason=str(error))
            self._away = True
            return
        self._away = False
        self._show(figures)

    def _show(self, figures: Sequence[LiveFigures]) -> None:
        metrics = self._metrics
        with self._lock:
            self._set(metrics.live_feedback_rows, [(one, one.rows) for one in figures])
            self._set(metrics.live_accuracy, [(one, one.accuracy) for one in figures])
            self._set(metrics.live_mean_absolute_error, [(one, one.mean_absolute_error) for one in figures])
            squares = [(one, one.mean_squared_error) for one in figures]
            roots = [(one, None if square is None else math.sqrt(square)) for one, square in squares]
            self._set(metrics.live_root_mean_squared_error, roots)

    def _set(self, gauge: Gauge, values: Sequence[tuple[LiveFigures, float | None]]) -> None:
        there = {(figures.model, figures.version): value for figures, value in values if value is not None}
        for labels, value in there.items():
            gauge.labels(*labels).set(value)
        for labels in self._shown.get(gauge, set()) - there.keys():
            self._metrics.remove(gauge, labels, shared_value=math.nan)  # NaN is Prometheus' missing value
        self._shown[gauge] = set(there)

    def read_journal(self) -> None:
        """Refresh the gauges of the journal's folder. Blocks."""
        names = _names(self._journal)
        oldest = min((name for name in names if name.endswith(SUFFIX)), default=None)
        self._metrics.journal_bytes.set(folder_bytes(self._journal))
        self._metrics.journal_rejected.set(len(_names(self._journal / "rejected")))
        self._metrics.journal_oldest_seconds.set(0.0 if oldest is None else max(0.0, self._clock() - _time_of(oldest)))


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _time_of(name: str) -> float:
    """Return the creation time of a segment, from its name (a UUIDv7)."""
    try:
        return (uuid.UUID(name.removesuffix(SUFFIX)).int >> 80) / 1000
    except ValueError:
        return 0.0

"""Measure how many rows of a model the event loop can run without delaying other requests."""

import time
from collections.abc import Callable
from typing import Final

from slipway_core.rows import Rows, Table, repeated

# A body of this size takes about a millisecond to parse; a larger one would block the event loop.
INLINE_BYTES: Final = 8 * 1024
# The longest run of a graph on the event loop.
INLINE_SECONDS: Final = 0.002
RUNS = 8
# A model that takes this long is measured only once.
MEASURED_SECONDS = 0.25
GROWTH = 4


def measure_inline_rows(run: Callable[[Rows], object], rows: Rows) -> int:
    """Return the largest measured number of rows that a run takes no longer than INLINE_SECONDS for.

    Measure 1, 4, 16 … rows, and stop at the first number that takes longer or exceeds a body of INLINE_BYTES.

    No measurement bounds a graph whose cost depends on the values of a row: see `Graph.cost_follows_rows`.

    Args:
        run: runs the graph; warmed up, because its first run is slower.
        rows: rows to repeat.

    Returns:
        0 if even one row takes longer.
    """
    n_features = len(rows.columns) if isinstance(rows, Table) else rows.shape[1]
    most, fast, count = max(1, INLINE_BYTES // n_features), 0, 1
    while True:
        if _seconds(run, repeated(rows, count)) > INLINE_SECONDS:
            return fast
        fast = count
        if count >= most:
            return fast
        count = min(count * GROWTH, most)


def _seconds(run: Callable[[Rows], object], rows: Rows) -> float:
    """Return the fastest of a few runs, because other processes only add time."""
    times: list[float] = []
    while len(times) < RUNS and sum(times) < MEASURED_SECONDS:
        began = time.perf_counter()
        run(rows)
        times.append(time.perf_counter() - began)
        if times[-1] <= INLINE_SECONDS:
            break
    return min(times)

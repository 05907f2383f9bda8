"""Split rows into requests that the API accepts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_BEFORE, _BETWEEN, _AFTER = b'{"features":[', b",", b"]}"


@dataclass(frozen=True)
class BatchLimits:
    """The largest request. The defaults are half of the API's own defaults.

    If the API rejects a request as too large, the client halves it, also for the rest of the call.

    Attributes:
        rows: the most rows (the API's limit is SLIPWAY_MAX_ROWS).
        body_bytes: the largest body (the API's limit is SLIPWAY_MAX_BODY_BYTES).
    """

    rows: int = 5_000
    body_bytes: int = 2 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.rows < 1 or self.body_bytes < 1:
            raise ValueError("the limits of a batch must be at least 1")


def body_of(rows: Sequence[bytes], span: range) -> bytes:
    """Return the body of a request for some of the encoded rows."""
    return _BEFORE + _BETWEEN.join(rows[span.start : span.stop]) + _AFTER


def split(rows: Sequence[bytes], span: range, limits: BatchLimits) -> Iterator[range]:
    """Yield parts of a span of encoded rows that are within the limits. A part has at least one row.

    Parts of a span that exceeds only the limit of rows are of about equal size.
    """
    # 5,001 rows as 2,501 and 2,500, not as 5,000 and 1.
    parts = -(-len(span) // limits.rows)
    most = -(-len(span) // parts) if parts else 0
    start, size = span.start, 0
    for number in span:
        added = len(rows[number]) + len(_BETWEEN)
        is_full = number - start == most or size + added + len(_BEFORE) + len(_AFTER) > limits.body_bytes
        if is_full and number > start:
            yield range(start, number)
            start, size = number, 0
        size += added
    if start < span.stop:
        yield range(start, span.stop)

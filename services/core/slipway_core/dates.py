"""Split dates into numbers, for the trainer and the API alike."""

import re
from datetime import datetime
from typing import Final

from slipway_core.columns import DatePart
from slipway_core.printable import shown_text

# ISO 8601 as pandas, databases and JSON writers print it. A time and an offset are optional.
_PATTERN: Final = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?)?", re.ASCII
)
DATE_PARTS: Final[tuple[DatePart, ...]] = ("year", "month", "day", "weekday", "hour")
EXPECTED: Final = "a date such as 2026-11-21 or 2026-11-21T08:30"


def date_parts(text: str) -> dict[DatePart, int]:
    """Return the parts of a date in ISO 8601; Monday is weekday 0, and a date without a time has hour 0.

    The parts are those that the text shows: an offset from UTC does not change them.

    Raises:
        ValueError: it is not a date.
    """
    if not _PATTERN.fullmatch(text):
        raise ValueError(f"must be {EXPECTED}, not {shown_text(text)}")
    # Only the date and the hour matter; `fromisoformat` rejects more than six digits of a second.
    try:
        date = datetime.fromisoformat(text[:16])
    except ValueError as error:
        raise ValueError(f"must be a date that exists, not {shown_text(text)}") from error
    return {"year": date.year, "month": date.month, "day": date.day, "weekday": date.weekday(), "hour": date.hour}

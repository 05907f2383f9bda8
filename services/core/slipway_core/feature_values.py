"""Limits, warnings and messages about the values of features, for matrices and tables alike."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway_core.columns import FLOAT32_EXACT, MAX_NAME_LENGTH
from slipway_core.printable import SHOWN, shown_text

MAX_PROBLEMS = 20
MAX_WARNINGS = 20
# The number of categories that a message lists.
SHOWN_CATEGORIES = 12
ROOT = "features"
_NULL = "; for a missing value, send null, or leave the cell of a CSV empty"
# A number with a decimal comma or separators of thousands: commas, points, apostrophes, underscores or spaces.
_GROUPED = re.compile(r"[-+]?(?!\d+(?:\.\d+)?$)\d[\d,.'\u2019_\s]*")
FLOAT32_MAX = float(np.finfo(np.float32).max)
# The largest float64 that rounds to FLOAT32_MAX; half a unit in the last place above FLOAT32_MAX, values round to
# infinity. The shortest decimal of FLOAT32_MAX, as JSON writers print it, is slightly above FLOAT32_MAX.
FLOAT32_LIMIT = math.nextafter(FLOAT32_MAX + 2.0**103, 0.0)

# The minimum number of significant digits of these types.
FLOAT32_DIGITS = 7
FLOAT64_DIGITS = 15

ROWS = frozenset({list, dict})
# Spellings of a missing value by other programs, in lower case.
MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "nan", "<na>", "nat", "null", "none", "nil", "-", "?"})


@dataclass(frozen=True, slots=True)
class RangeWarning:
    """A value outside the range of the training rows.

    Attributes:
        row: the index of its row in the request.
    """

    row: int
    feature: str
    message: str


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """The values of a request outside the range of the training rows.

    Attributes:
        counts: the number of such values per feature, in the signature's order.
        warnings: the first MAX_WARNINGS of them.
    """

    counts: list[int]
    warnings: list[RangeWarning]

    @property
    def omitted(self) -> int:
        """The number of values without an entry in `warnings`."""
        return sum(self.counts) - len(self.warnings)


def explain_number(value: Any, *, missing: bool = False, narrow: bool = True) -> str:  # noqa: ANN401
    """Say why a value is not a valid number, as a sentence without its subject.

    Args:
        value: the value, as parsed from JSON.
        missing: whether the column takes null for a missing value.
        narrow: whether the number must fit a 32-bit float.
    """
    if isinstance(value, str):
        return explain_kind("a number", value, missing=missing)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"must be a number, not {kind_of(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, not NaN or infinity{_NULL if missing else ''}"
    return f"is too large for a {32 if narrow else 64}-bit float"


def explain_kind(expected: str, value: Any, *, missing: bool) -> str:  # noqa: ANN401
    """Say that a value is of another type than expected, as a sentence without its subject."""
    if isinstance(value, str) and not value.strip():
        return f"is empty; it must be {expected}{_NULL if missing else ''}"
    return f"must be {expected}, not {shown_kind(value)}{mend_of(value, missing=missing, is_text=expected == 'text')}"


def mend_of(value: Any, *, missing: bool, is_text: bool) -> str:  # noqa: ANN401
    """Return advice for an invalid value, as the end of a sentence, or an empty text.

    Args:
        value: the value.
        missing: whether the column takes missing values.
        is_text: whether it takes text.
    """
    if not isinstance(value, str):
        return ""
    if missing and value.strip().lower() in MISSING_WORDS:
        return _NULL
    if not is_text and _GROUPED.fullmatch(value.strip()):
        return "; write a decimal point, and no separators of thousands"
    return ""


def explain_range(value: float, low: float | None, high: float | None, digits: int = FLOAT32_DIGITS) -> str:
    """Say how a value is outside the range of the training rows, with that many significant digits."""
    shown = str(value) if isinstance(value, int) else f"{value:.{digits}g}"
    if low is not None and high is not None:
        return f"{shown} is outside the trained range {low:.{digits}g} to {high:.{digits}g}"
    if low is not None and value < low:
        return f"{shown} is below the trained minimum {low:.{digits}g}"
    return f"{shown} is above the trained maximum {high:.{digits}g}"


def explain_category(allowed: Sequence[str | float], shown: str) -> str:
    """Say that a value, as shown, is not one of the allowed ones."""
    return f"must be one of {list_categories(allowed)}, not {shown}"


def list_categories(allowed: Sequence[str | float]) -> str:
    """Write categories in order, at most SHOWN_CATEGORIES of them."""
    ordered = sorted(allowed)
    is_long = len(ordered) > SHOWN_CATEGORIES
    first = ordered[: SHOWN_CATEGORIES - 1] if is_long else ordered
    some = ", ".join([shown_value(one) for one in first])
    return f"{some}, … {shown_value(ordered[-1])} ({len(ordered)} values)" if is_long else some


def shown_value(value: str | float) -> str:
    """Write a category, or a value beside one."""
    return shown_text(value) if isinstance(value, str) else shortest(value)


def shortest(value: float) -> str:
    """Write a float32 with the fewest digits that identify it, and an integer beyond its precision in full."""
    if FLOAT32_EXACT < abs(value) < 2**53 and float(value).is_integer():
        return str(int(value))
    return str(np.float32(float(value))).removesuffix(".0")


def kind_of(value: Any) -> str:  # noqa: ANN401
    """Name the JSON type of a value."""
    kinds = {bool: "a boolean", str: "a string", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")


def shown_kind(value: Any) -> str:  # noqa: ANN401
    """Name the JSON type of a value, and show text, numbers and booleans."""
    if isinstance(value, str):
        return f"{kind_of(value)} ({shown_text(value)})"
    if isinstance(value, bool | int | float):
        return f"{kind_of(value)} ({shown_number(value)})"
    return kind_of(value)


def shown_number(value: float) -> str:
    """Write a number or boolean as JSON does, shortened: a client may choose it."""
    text = repr(value).lower()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def check_label(value: Any) -> Any:  # noqa: ANN401  # a client may send anything
    """Return a value that may be a class label or None; report one error, not one for each possible type.

    Raises:
        ValueError: it is neither.
    """
    if value is not None and type(value) not in {str, int, bool}:
        raise ValueError(f"'label' must be text, an integer, true or false, not {shown_kind(value)}")
    if isinstance(value, str) and len(value) > MAX_NAME_LENGTH:
        raise ValueError(f"'label' must have at most {MAX_NAME_LENGTH} characters")
    return value

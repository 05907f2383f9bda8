"""Feedback for the rows of predictions."""

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias

from slipway_client import calls
from slipway_client.errors import BatchError, ConflictError, Failure, NotFoundError, SlipwayError, ValidationError
from slipway_client.frames import ID_COLUMN, ROW_COLUMN, is_frame, is_series
from slipway_client.results import Feedback, PredictionResult
from slipway_client.session import Session
from slipway_client.steps import Step, Steps, Together
from slipway_client.values import json_value

Outcome: TypeAlias = Feedback | Failure
# The id of a prediction, and the row in it; None for a prediction of one row.
Target: TypeAlias = tuple[str, int | None]


def give_feedback(
    session: Session,
    target: Any,  # noqa: ANN401  # an id, a result or a DataFrame
    labels: Any,  # noqa: ANN401  # one label, a sequence or a Series
    values: Any,  # noqa: ANN401
    row: int | None,
) -> Steps[list[Feedback]]:
    """Store the true labels or values of rows, and skip rows whose truth is missing.

    Raises:
        BatchError: the feedback of some rows failed.
        SlipwayError: the feedback of all rows failed.
        TypeError: the target is not a prediction.
        ValueError: both or none of labels and values are given, or another number of them than rows.
    """
    if (labels is None) == (values is None):
        raise ValueError("pass either labels (of a classifier) or values (of a regressor)")
    name, truths = ("label", labels) if values is None else ("value", values)
    targets = _targets(target, row)
    convert = json_value if labels is None else _label
    given = [(number, convert(truth)) for number, truth in enumerate(_truths(truths, target, len(targets)))]
    found = [(number, targets[number], truth) for number, truth in given if truth is not None]
    outcomes = yield from _Sending(session).run(name, found)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    stored = [outcome for outcome in outcomes if not isinstance(outcome, Failure)]
    if failures and len(outcomes) == 1:
        raise failures[0].error
    if failures:
        raise BatchError(failures, stored or None) from failures[0].error
    return stored


def _targets(target: Any, row: int | None) -> list[Target]:  # noqa: ANN401
    if isinstance(target, PredictionResult):
        found: list[Target] = list(target.row_ids)
    elif is_frame(target):
        missing = [name for name in (ID_COLUMN, ROW_COLUMN) if name not in target.columns]
        if missing:
            raise TypeError(f"the DataFrame has no column {missing[0]!r}: pass rows that `predict` returned")
        found = list(zip(target[ID_COLUMN].tolist(), map(int, target[ROW_COLUMN].tolist()), strict=True))
    elif isinstance(target, str):
        return [(target, row)]
    else:
        raise TypeError("pass the id of a prediction, or what `predict` returned")
    if row is None:
        return found
    if not 0 <= row < len(found):
        raise ValueError(f"row {row} does not exist: pass a row from 0 to {len(found) - 1}")
    return [found[row]]


def _label(truth: Any) -> Any:  # noqa: ANN401
    """Return a class label. In a column with missing values, pandas stores integers as floats."""
    label = json_value(truth)
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _truths(truths: Any, target: Any, count: int) -> Sequence[Any]:  # noqa: ANN401
    """Return one truth per row; None or NaN where it is missing."""
    if is_series(truths):
        return _series_truths(truths, target, count)
    if hasattr(truths, "tolist") and truths.ndim > 0:  # an array of NumPy
        truths = truths.tolist()
    if isinstance(truths, str) or not isinstance(truths, Sequence):
        truths = [truths]
    if len(truths) != count:
        raise ValueError(f"there are {count} rows, but {len(truths)} labels or values: pass one for each row")
    return list(truths)


def _series_truths(truths: Any, target: Any, count: int) -> Sequence[Any]:  # noqa: ANN401
    """Return the truths of a Series: for a DataFrame by its index as pandas does it, otherwise by position."""
    found: list[Any] = truths.tolist()
    if not is_frame(target) or len(target) != count or truths.index.equals(target.index):
        return _truths(found, target, count)
    if not truths.index.is_unique:
        raise ValueError("the index of the labels or values has duplicates: pass one for each row, as a list")
    positions = truths.index.get_indexer(target.index).tolist()
    if all(position < 0 for position in positions):
        raise ValueError("the index of the labels or values has no entry of the predictions: pass a list instead")
    return [found[position] if position >= 0 else None for position in positions]


class _Sending:
    """The requests of one call: one for each row."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stopped_by: SlipwayError | None = None

    def run(self, name: str, found: Sequence[tuple[int, Target, Any]]) -> Generator[Step, Any, list[Outcome]]:
        """Send all truths, and return the stored feedback and the failures in the order of the rows."""
        outcomes: list[Outcome] = yield Together([self._row(number, at, {name: truth}) for number, at, truth in found])
        return outcomes

    def _row(self, number: int, target: Target, truth: dict[str, Any]) -> Generator[Step, Any, Outcome]:
        rows = range(number, number + 1)
        if self._stopped_by is not None:
            return Failure(rows, self._stopped_by)
        prediction_id, row = target
        place = {} if row is None else {"row": row}
        try:
            return (yield from self._session.call(calls.give_feedback(prediction_id, {**place, **truth})))
        except (ConflictError, NotFoundError, ValidationError) as error:
            return Failure(rows, error)
        except SlipwayError as error:
            self._stopped_by = error
            return Failure(rows, error)

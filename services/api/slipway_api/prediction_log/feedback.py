"""Compare feedback, the true label or value of a row, with its prediction."""

import uuid
from datetime import UTC, datetime

import orjson

from slipway_api.errors import ConflictError, InvalidInputError
from slipway_api.prediction_log.queries import Feedback, LoggedPrediction
from slipway_core.errors import Problem
from slipway_core.manifest import label_text

REGRESSION = "regression"


def compare(
    found: LoggedPrediction, by: uuid.UUID, *, row: int | None, label: str | int | None, value: float | None
) -> Feedback:
    """Compare a true label or value with the prediction of a row, by an account.

    Raises:
        InvalidInputError: it does not match the prediction.
        ConflictError: the lineage with the classes was lost.
    """
    rows = len(found.prediction)
    if row is None:
        if rows != 1:
            raise _wrong("row", f"the prediction has {rows} rows: send 'row', from 0 to {rows - 1}")
        row = 0
    if row >= rows:
        raise _wrong("row", f"row {row} does not exist: send 'row' from 0 to {rows - 1}")
    if found.origin is None:
        raise ConflictError("the lineage of this model version was lost, so its classes are unknown")
    now, predicted = datetime.now(UTC), found.prediction[row]
    name = f"{found.model} is a {'regressor' if found.origin.task == REGRESSION else 'classifier'}"
    if found.origin.task == REGRESSION:
        if label is not None:
            raise _wrong("label", f"{name}: send the true value as 'value' instead of 'label'")
        if value is None:
            raise _wrong("value", f"the field 'value' is missing: {name}")
        error = predicted - value
        return Feedback(found.id, row, now, by, found.model, found.version, value=value, error=error)
    if value is not None:
        raise _wrong("value", f"{name}: send the true class as 'label' instead of 'value'")
    if label is None:
        raise _wrong("label", f"the field 'label' is missing: {name}")
    classes = found.origin.classes or ()
    # `True` equals 1 in Python. Text is what the response to the prediction had.
    index = next((i for i, one in enumerate(classes) if (type(one), one) == (type(label), label)), None)
    if index is None and isinstance(label, str):
        index = next((i for i, one in enumerate(classes) if label_text(one) == label), None)
    if index is None:
        shown = ", ".join(orjson.dumps(one).decode() if not isinstance(one, str) else one for one in classes[:20])
        raise _wrong("label", f"unknown class; the classes of {found.model} are {shown}")
    correct = int(predicted) == index
    return Feedback(found.id, row, now, by, found.model, found.version, label=label_text(label), correct=correct)


def _wrong(place: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem((place,), message)])

"""Predict rows in one or more requests, and join the results."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from slipway_client import calls
from slipway_client.errors import (
    BatchError,
    Failure,
    InvalidValue,
    PayloadTooLargeError,
    SlipwayError,
    ValidationError,
)
from slipway_client.frames import empty_frame, frame_rows, is_frame, result_frame
from slipway_client.results import Batch, PredictionResult
from slipway_client.session import Session
from slipway_client.splitting import BatchLimits, body_of, split
from slipway_client.steps import Step, Steps, Together
from slipway_client.targets import Target
from slipway_client.values import encode_rows, rows_of

Outcome = Batch | Failure
Outcomes = Generator[Step, Any, list[Outcome]]


def predict(session: Session, data: Any, target: Target) -> Steps[Any]:  # noqa: ANN401
    """Predict the rows of a DataFrame as a DataFrame, and all other data as a PredictionResult.

    Raises:
        BatchError: some rows failed.
        SlipwayError: all rows failed.
        TypeError: the data has no rows of features.
        ValueError: the data has no rows, or a column has an invalid name.
    """
    if is_frame(data):
        return (yield from _predict_frame(session, data, target))
    rows = rows_of(data)
    if not rows:
        raise ValueError("there are no rows to predict")
    outcomes = yield from _Prediction(session, target, encode_rows(rows)).run()
    batches = _succeeded(outcomes)
    result = PredictionResult.of(batches) if batches else None
    _raise_failures(outcomes, result)
    return result


def _predict_frame(session: Session, frame: Any, target: Target) -> Steps[Any]:  # noqa: ANN401
    rows = encode_rows(frame_rows(frame))
    if not rows:
        return empty_frame(frame.index, (yield from session.load_classes(target)))
    outcomes = yield from _Prediction(session, target, rows).run()
    batches = _succeeded(outcomes)
    result = None
    if batches:
        classes = {}
        for batch in batches:
            if batch.version not in classes:
                is_classified = "probabilities" in batch.response
                classes[batch.version] = (
                    (yield from session.classes_of(target, batch.model, batch.version)) if is_classified else None
                )
        result = result_frame(batches, frame.index, classes)
    _raise_failures(outcomes, result)
    return result


class _Prediction:
    """One call of `predict`: its rows, and what its requests have learned about the API."""

    def __init__(self, session: Session, target: Target, rows: Sequence[bytes]) -> None:
        self._session = session
        self._target = target
        self._rows = rows
        self._limits = session.limits
        self._stopped_by: SlipwayError | None = None

    def run(self) -> Outcomes:
        """Send all rows, and return the batches and the failures in the order of the rows."""
        spans = split(self._rows, range(len(self._rows)), self._limits)
        found: list[list[Outcome]] = yield Together([self._span(span) for span in spans])
        return [outcome for outcomes in found for outcome in outcomes]

    def _span(self, span: range) -> Outcomes:
        """Send a span of rows, in parts if it exceeds the limits, which may have shrunk meanwhile."""
        parts = list(split(self._rows, span, self._limits))
        if len(parts) == 1:
            return (yield from self._part(span))
        found: list[Outcome] = []
        for part in parts:
            found += yield from self._span(part)
        return found

    def _part(self, span: range) -> Outcomes:
        """Send rows in one request."""
        if self._stopped_by is not None:
            return [Failure(span, self._stopped_by)]
        call = calls.predict(self._target, body_of(self._rows, span), len(span))
        try:
            answer = yield from self._session.call(call)
        except PayloadTooLargeError as error:
            if len(span) > 1:
                self._shrink(len(span))
                return (yield from self._span(span))
            return [Failure(span, error)]
        except ValidationError as error:
            return [Failure(span, _in_data(error, span.start))]
        except SlipwayError as error:
            # It does not depend on the rows, so all others would fail, too.
            self._stopped_by = error
            return [Failure(span, error)]
        return [Batch(span, answer["id"], answer["model"], answer["version"], answer)]

    def _shrink(self, rows: int) -> None:
        """Halve the limit of rows after a request of so many rows was too large."""
        self._limits = BatchLimits(min(self._limits.rows, (rows + 1) // 2), self._limits.body_bytes)


def _succeeded(outcomes: Sequence[Outcome]) -> list[Batch]:
    return [outcome for outcome in outcomes if isinstance(outcome, Batch)]


def _raise_failures(outcomes: Sequence[Outcome], result: object) -> None:
    """Raise the error of the first failure if all rows failed for one reason, and BatchError for other failures."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if not failures:
        return
    reasons = {id(failure.error) for failure in failures}
    if result is None and len(reasons) == 1:
        raise failures[0].error
    raise BatchError(failures, result) from failures[0].error


def _in_data(error: ValidationError, first: int) -> ValidationError:
    """Return an error whose rows are those of the data of the call, instead of those of a request."""

    def moved(value: InvalidValue) -> InvalidValue:
        return value if value.row is None else replace(value, row=value.row + first)

    return ValidationError(
        error.detail,
        status=error.status,
        title=error.title,
        errors=[moved(value) for value in error.errors],
        request_id=error.request_id,
        retry_after_seconds=error.retry_after_seconds,
    )

"""`/predictions`: read logged predictions, and store feedback."""

import re
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from slipway_api.accounts.models import CurrentUser, Role
from slipway_api.errors import InvalidInputError, NotFoundError
from slipway_api.http.json_body import json_body
from slipway_api.http.openapi import body, errors
from slipway_api.http.pagination import cursor_of, read_cursor
from slipway_api.prediction_log.feedback import compare
from slipway_api.prediction_log.queries import Feedback, LoggedPrediction, Position, PredictionQuery
from slipway_api.prediction_log.queries import Predictions as PredictionQueries
from slipway_api.web.dependencies import Accounts, FeedbackSender, Live, PredictionReader, Predictions
from slipway_core.errors import Problem
from slipway_core.feature_values import FLOAT32_LIMIT, check_label
from slipway_core.manifest import Label, label_text

MAX_LIMIT = 1_000
# A page holds at most this many rows whatever its limit, but at least one prediction.
PAGE_ROWS = 10_000
ID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# RFC 3339, section 5.6.
TIME_PATTERN = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

router = APIRouter(tags=["predictions"])


class GivenFeedback(BaseModel):
    """The true value of a row, compared with the prediction."""

    row: int = Field(description="Index of the row in the prediction.")
    label: str | None = Field(default=None, description="Classifiers: label of the true class, as text.")
    value: float | None = Field(default=None, description="Regressors: true value.")
    correct: bool | None = Field(default=None, description="Classifiers: whether the prediction was right.")
    error: float | None = Field(default=None, description="Regressors: predicted value minus true value.")
    at: datetime = Field(description="Time of the feedback, UTC.")


class Redacted(BaseModel):
    """Stands for a value that SLIPWAY_REDACTED_FEATURES keeps out of the log."""

    redacted: Literal[True]


class StoredPrediction(BaseModel):
    """One logged prediction."""

    id: str
    at: datetime = Field(description="Time of the response, UTC.")
    user_id: uuid.UUID = Field(description="Account that requested the prediction.")
    model: str
    version: str
    inputs: list[list[float | str | bool | Redacted | None]] = Field(
        description="Rows. A redacted value is null for a model that takes a matrix, and an object for one that takes "
        "a table, where null is a missing value."
    )
    prediction: list[int] | list[float] = Field(description="Class indices of a classifier, values of a regressor.")
    label: list[str] | None = Field(default=None, description="Classifiers: label of the predicted class, as text.")
    probabilities: list[list[float]] | None = Field(default=None, description="Classifiers: probability of each class.")
    latency_seconds: float = Field(description="Time from the request to its response.")
    request_id: str


class PredictionWithLineage(StoredPrediction):
    """One logged prediction with its lineage and feedback."""

    task: str | None
    features: list[str] | None = Field(description="Names of the input columns.")
    run_id: str | None = Field(description="Training run in MLflow.")
    data_version: str | None = Field(description="Version of the training data.")
    git_commit: str | None
    manifest_sha256: str = Field(description="Digest of the served bundle's manifest.")
    feedback: list[GivenFeedback]


class PredictionPage(BaseModel):
    """Logged predictions, newest first."""

    predictions: list[StoredPrediction]
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null on the last page. A page ends early if it would "
        f"exceed {PAGE_ROWS} rows."
    )


Float32 = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-FLOAT32_LIMIT, le=FLOAT32_LIMIT)]


class FeedbackRequest(BaseModel):
    """The true value of a row: a class label for a classifier, a number for a regressor."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"row": 0, "label": "setosa"}, {"value": 12.5}]}
    )

    row: StrictInt | None = Field(default=None, ge=0, description="Optional for a prediction of one row.")
    label: Annotated[Label | None, BeforeValidator(check_label)] = Field(
        default=None, description="Classifiers: true class."
    )
    value: Float32 | None = Field(default=None, description="Regressors: true value.")


class FeedbackAnswer(GivenFeedback):
    """The stored feedback."""

    prediction_id: str
    model: str
    version: str


@router.get(
    "/predictions",
    response_class=Response,
    responses={200: {"model": PredictionPage, "description": "A page."}, **errors(401, 403, 422, 503)},
)
async def list_predictions(
    predictions: Predictions,
    caller: PredictionReader,
    model: Annotated[str | None, Query(description="Only predictions of this model.")] = None,
    since: Annotated[str | None, Query(description="Earliest time: RFC 3339, with `Z` or an offset.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum entries per page.")] = 100,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
) -> Response:
    """List the caller's own predictions, or all predictions for an admin, newest first.

    With an API key, list those of its account, and only for the models that it permits.
    """
    if model is not None:
        caller.require_model(model)
    after = read_cursor(cursor, Position.of_key)
    models = None if caller.key is None else caller.key.models
    query = PredictionQuery(_owner(caller), model, _time(since), after, limit, PAGE_ROWS, models)

    def read(store: Any) -> bytes:  # noqa: ANN401  # a PredictionStore
        page = store.page(query)
        following = None if page.next is None else cursor_of(page.next.key())
        return orjson.dumps({"predictions": [_shown(one) for one in page.predictions], "next_cursor": following})

    return Response(await predictions.call(read), media_type="application/json")


@router.get(
    "/predictions/{id}",
    response_class=Response,
    responses={200: {"model": PredictionWithLineage, "description": "The prediction."}, **errors(401, 403, 404, 503)},
)
async def show_prediction(id: str, predictions: Predictions, caller: PredictionReader) -> Response:  # noqa: A002  # as the contract has it
    """Return a prediction with its lineage. Wait briefly for a new one that is not stored yet."""
    found = await _find(predictions, id, caller)
    origin = found.origin
    content = {
        **_shown(found),
        "task": None if origin is None else origin.task,
        "features": None if origin is None else origin.features,
        "run_id": None if origin is None else origin.run_id,
        "data_version": None if origin is None else origin.data_version,
        "git_commit": None if origin is None else origin.git_commit,
        "manifest_sha256": found.manifest_sha256,
        "feedback": [_feedback_json(one) for one in found.feedback],
    }
    return Response(orjson.dumps(content), media_type="application/json")


@router.post(
    "/predictions/{id}/feedback",
    status_code=HTTPStatus.CREATED,
    responses=errors(401, 403, 404, 409, 413, 415, 422, 503),
    response_model_exclude_none=True,
    openapi_extra=body(FeedbackRequest),
)
async def give_feedback(
    id: str,  # noqa: A002
    accounts: Accounts,
    predictions: Predictions,
    live: Live,
    caller: FeedbackSender,
    given: Annotated[FeedbackRequest, Depends(json_body(FeedbackRequest))],
) -> FeedbackAnswer:
    """Store the true value of a row, once per row."""
    # The account may have been disabled, or the key revoked, while the body arrived.
    accounts.authentication.reauthenticate(caller)
    found = await _find(predictions, id, caller)
    feedback = compare(found, caller.id, row=given.row, label=given.label, value=given.value)
    await predictions.call(lambda store: store.add_feedback(feedback))
    live.count_feedback(found.model, found.version)
    return FeedbackAnswer(
        prediction_id=str(found.id),
        model=found.model,
        version=found.version,
        row=feedback.row,
        label=feedback.label,
        value=feedback.value,
        correct=feedback.correct,
        error=feedback.error,
        at=feedback.at,
    )


BODIES = (FeedbackRequest,)


async def _find(predictions: PredictionQueries, text: str, caller: CurrentUser) -> LoggedPrediction:
    prediction_id = _identity(text)
    found = await predictions.find(prediction_id, _owner(caller))
    if not caller.permits_model(found.model):  # do not reveal the names of other models
        raise NotFoundError(f"you have no prediction {prediction_id}")
    return found


def _owner(caller: CurrentUser) -> uuid.UUID | None:
    return None if caller.role is Role.ADMIN else caller.id


def _identity(text: str) -> uuid.UUID:
    if not ID_PATTERN.fullmatch(text):
        raise NotFoundError("the prediction ID is not a valid UUID: send the `id` of a prediction's response")
    return uuid.UUID(text)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    if TIME_PATTERN.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    hint = "write it as 2026-11-20T12:00:00Z; in a URL, encode the + of an offset as %2B"
    raise InvalidInputError([Problem(("query", "since"), f"'since' must be a time with an offset: {hint}")])


def _shown(one: LoggedPrediction) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": str(one.id),
        "at": _rfc3339(one.at),
        "user_id": str(one.user_id),
        "model": one.model,
        "version": one.version,
        "inputs": orjson.Fragment(one.inputs),
        "prediction": one.prediction,
    }
    if one.scores is not None:
        if one.origin is not None and one.origin.classes:
            shown["label"] = [label_text(one.origin.classes[int(index)]) for index in one.prediction]
        shown["probabilities"] = orjson.Fragment(one.scores)
    return {**shown, "latency_seconds": one.latency_seconds, "request_id": one.request_id}


def _feedback_json(one: Feedback) -> dict[str, Any]:
    fields = {"label": one.label, "value": one.value, "correct": one.correct, "error": one.error}
    kept = {name: value for name, value in fields.items() if value is not None}
    return {"row": one.row, **kept, "at": _rfc3339(one.at)}


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

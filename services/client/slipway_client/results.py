"""What the methods of the client return. Objects of the API are dictionaries with the fields of its documentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, Self, TypedDict

Label = str | int | bool


@dataclass(frozen=True)
class PredictionWarning:
    """A value outside the range of the training data; `row` is its number in the data of the call, from 0."""

    row: int
    feature: str
    message: str


@dataclass(frozen=True)
class Batch:
    """The predictions of one request.

    Attributes:
        rows: the numbers of its rows in the data of the call, from 0.
        id: the id under which the API logs the prediction.
        response: the unchanged response of the API.
    """

    rows: range
    id: str
    model: str
    version: str
    response: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class PredictionResult:
    """The predictions of a call, with one entry per row.

    Attributes:
        model: the name of the model.
        prediction: class indices of a classifier, or values of a regressor.
        label: the predicted classes as text, also those of other types; None for a regressor.
        probabilities: the probability of each class, for each row; None for a regressor.
        warnings: values outside the range of the training data, the first 20 of each batch.
        warnings_omitted: the number of further ones.
        batches: the requests that the call was split into.
    """

    model: str
    prediction: list[float]
    label: list[str] | None
    probabilities: list[list[float]] | None
    warnings: list[PredictionWarning]
    warnings_omitted: int
    batches: tuple[Batch, ...] = field(repr=False)

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Self:
        """Join the responses of at least one batch."""
        answers = [batch.response for batch in batches]
        are_classified = all("label" in answer and "probabilities" in answer for answer in answers)
        return cls(
            model=batches[0].model,
            prediction=[value for answer in answers for value in answer["prediction"]],
            label=[value for answer in answers for value in answer["label"]] if are_classified else None,
            probabilities=[row for answer in answers for row in answer["probabilities"]] if are_classified else None,
            warnings=[
                PredictionWarning(batch.rows[warning["row"]], warning["feature"], warning["message"])
                for batch in batches
                for warning in batch.response.get("warnings") or ()
            ],
            warnings_omitted=sum(answer.get("warnings_omitted") or 0 for answer in answers),
            batches=tuple(batches),
        )

    @property
    def id(self) -> str:
        """The id of the prediction.

        Raises:
            ValueError: the call was split into several predictions; `ids` has all of them.
        """
        return _only(self.ids, "prediction", "ids")

    @property
    def ids(self) -> list[str]:
        """The id of each batch."""
        return [batch.id for batch in self.batches]

    @property
    def version(self) -> str:
        """The version of the model.

        Raises:
            ValueError: another version became Production during the call; `versions` has both.
        """
        return _only(self.versions, "version", "versions")

    @property
    def versions(self) -> list[str]:
        """The versions of the model that predicted, in the order of their first rows."""
        return list(dict.fromkeys(batch.version for batch in self.batches))

    @property
    def row_ids(self) -> list[tuple[str, int]]:
        """The id of the prediction and the number within it, for each row. Feedback names rows in this way."""
        return [(batch.id, number) for batch in self.batches for number in range(len(batch.rows))]

    def __len__(self) -> int:
        return len(self.prediction)


def _only(found: Sequence[str], what: str, names: str) -> str:
    if len(found) != 1:
        raise ValueError(f"the result has {len(found)} {what}s: use `{names}`")
    return found[0]


class Column(TypedDict):
    """A feature of a model."""

    name: str
    dtype: str
    nullable: NotRequired[bool]
    categories: NotRequired[list[Any] | None]


class Signature(TypedDict):
    """The inputs and outputs of a model; `classes` have their own types, and are None for a regressor."""

    inputs: list[Column]
    classes: list[Label] | None


class Model(TypedDict):
    """A served model (`GET /models/{name}`)."""

    model_name: str
    model_version: str
    current_stage: str
    task: str
    signature: Signature
    metrics: dict[str, float]
    run_id: str
    data_version: str


class Candidate(TypedDict):
    """A candidate of a model (`GET /models/{name}/candidates`); `reason` states why it is not loaded."""

    name: str
    version: str
    loaded: bool
    served_version: str | None
    metrics: dict[str, float] | None
    reason: str | None


# `from` is a keyword of Python.
PromotionEvent = TypedDict(
    "PromotionEvent",
    {
        "action": str,
        "version": str | None,
        "from": str | None,
        "by": str | None,
        "at": str | None,
        "reason": str | None,
    },
)


class Move(PromotionEvent):
    """A move of a model's Production alias (`GET /models/{name}/history`)."""

    metrics: dict[str, float] | None
    data_version: str | None


class Promotion(TypedDict):
    """The result of a promotion or a rollback.

    `event` is None if nothing changed. `warning` is set if the history does not contain the event. `reason` states why
    the API does not serve the Production version; `up_to_date` is False then.
    """

    changed: bool
    event: PromotionEvent | None
    warning: str | None
    served_version: str | None
    up_to_date: bool
    reason: str | None


class User(TypedDict):
    """An account (`GET /users/me`)."""

    id: str
    username: str
    role: str
    disabled: bool
    created_at: str


class UserEvent(TypedDict):
    """An entry of the audit log (`GET /users/events`)."""

    id: str
    at: str
    actor_id: str | None
    subject_id: str
    subject_name: str | None
    action: str
    address: str | None
    details: dict[str, Any]


class ApiKey(TypedDict):
    """An API key, without its secret (`GET /keys`)."""

    id: str
    name: str
    description: str
    owner: str
    models: list[str] | None
    actions: list[str]
    created_at: str
    expires_at: str | None
    expired: bool
    last_used_at: str | None


class NewApiKey(ApiKey):
    """A new API key; `key` is the secret, which the API shows only once."""

    key: str


class Feedback(TypedDict):
    """The stored feedback of a row."""

    prediction_id: str
    model: str
    version: str
    row: int
    at: str
    label: NotRequired[str]
    value: NotRequired[float]
    correct: NotRequired[bool]
    error: NotRequired[float]


class LoggedPrediction(TypedDict):
    """A logged prediction (`GET /predictions`)."""

    id: str
    at: str
    user_id: str
    model: str
    version: str
    inputs: list[list[Any]]
    prediction: list[float]
    label: NotRequired[list[str]]
    probabilities: NotRequired[list[list[float]]]
    latency_seconds: float
    request_id: str


class PredictionWithLineage(LoggedPrediction):
    """A logged prediction with the lineage of its model, and its feedback (`GET /predictions/{id}`)."""

    features: list[str] | None
    run_id: str | None
    data_version: str | None
    git_commit: str | None
    feedback: list[dict[str, Any]]

"""Types shared by all prediction protocols: a request, its parsed rows, the model's result, and the response."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from slipway_api.serving.served_model import ServedModel
from slipway_core.feature_values import OutOfRange
from slipway_core.graph import Outputs
from slipway_core.rows import Rows

RawHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """A prediction request as the client sent it.

    Attributes:
        content_type: the media type in lower case, without its parameters; empty if missing.
        headers: all headers, with names in lower case.
        max_rows: the maximum number of rows per request.
    """

    body: bytes
    content_type: str
    headers: RawHeaders
    max_rows: int

    def header(self, name: bytes) -> bytes:
        """Return a header's first value, by its name in lower case; empty if missing."""
        return next((value for key, value in self.headers if key == name), b"")


class PredictionResult(NamedTuple):
    """The result of running a model on a request's rows.

    Attributes:
        id: the prediction's id.
        outputs: finite, the probabilities within [0, 1], the class indices within the model's classes.
        outside: the values outside the trained range; None if there are none or warnings are disabled.
    """

    id: UUID
    model: ServedModel
    outputs: Outputs
    outside: OutOfRange | None = None


class PredictionResponse(NamedTuple):
    """A response body, ready to send."""

    body: bytes
    content_type: bytes = b"application/json"
    headers: RawHeaders = ()


class ParsedRequest(NamedTuple):
    """The rows of a valid request.

    Attributes:
        rows: as the model's signature returns them.
        write: encodes the result as the response that the request asked for.
    """

    rows: Rows
    write: Callable[[PredictionResult], PredictionResponse]


# Raises InvalidInputError, FeaturesError, TooLargeError or UnsupportedMediaTypeError for an invalid request. Large
# bodies are parsed in a thread, so a parser must not use shared state.
ParseRequest = Callable[[ServedModel, PredictionRequest], ParsedRequest]

"""What every protocol of prediction has in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from slipway_api.serving.served_model import ServedModel
from slipway_core.graph import Outputs
from slipway_core.signature import FloatMatrix, OutOfRange

RawHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a client sent.

    Attributes:
        content_type: the media type in lower case, without its parameters; empty if there is none.
        headers: all of them, names in lower case.
        max_rows: the most rows that one request may have.
    """

    body: bytes
    content_type: str
    headers: RawHeaders
    max_rows: int

    def header(self, name: bytes) -> bytes:
        """Return a header's first value, by its name in lower case; empty if there is none."""
        return next((value for key, value in self.headers if key == name), b"")


class Answered(NamedTuple):
    """What a model answered.

    Attributes:
        id: names the prediction.
        outputs: finite, the probabilities within [0, 1], the class indices within the model's classes.
        outside: the values outside the trained range, if there are any and the client gets warnings.
    """

    id: UUID
    model: ServedModel
    outputs: Outputs
    outside: OutOfRange | None = None


class Payload(NamedTuple):
    """The body of an answer, ready to send."""

    body: bytes
    content_type: bytes = b"application/json"
    headers: RawHeaders = ()


class Query(NamedTuple):
    """A request that was understood.

    Attributes:
        matrix: (n_rows, n_features) float32.
        write: makes the answer's body.
    """

    matrix: FloatMatrix
    write: Callable[[Answered], Payload]


# Raises an InvalidInputError, FeaturesError, TooLargeError or UnsupportedMediaTypeError where a request is not
# understood. It runs in a thread where the body is large, so it touches nothing but its arguments.
Read = Callable[[ServedModel, Incoming], Query]

"""The native protocol: a request is `{"features": …}`, its response `{"prediction": …, "label": …, …}`."""

import codecs
import json
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import orjson

from slipway_api.errors import InvalidInputError, TooLargeError
from slipway_api.http.content_types import check_json
from slipway_api.http.json_errors import why_not_json
from slipway_api.protocols.messages import ParsedRequest, PredictionRequest, PredictionResponse, PredictionResult
from slipway_api.serving.served_model import ServedModel
from slipway_core.errors import Problem
from slipway_core.feature_values import MAX_PROBLEMS, ROWS
from slipway_core.printable import SHOWN

# A body ten times this size occupies Python's parser, which blocks all other threads, for a second.
MAX_LENIENT_BYTES: Final = 1024 * 1024
# Arrays and objects of a request beside its rows.
SPARE_CONTAINERS: Final = 1_000
# What stands before an array or an object within another one; in names of features, brackets rarely follow these.
_NESTED: Final = (b"[[", b",[", b":[", b"[{", b",{", b":{")


def read(model: ServedModel, request: PredictionRequest) -> ParsedRequest:
    """Parse a prediction request.

    Raises:
        UnsupportedMediaTypeError: its content type is not JSON.
        InvalidInputError: it is not a JSON object with `features`.
        FeaturesError: the rows do not fit the signature.
        TooLargeError: it has too many rows.
    """
    check_json(request.content_type)
    return ParsedRequest(model.signature.rows(_features(request.body, request.max_rows)), write)


def write(result: PredictionResult) -> PredictionResponse:
    """Return the response, with one entry per row."""
    model, outputs = result.model, result.outputs
    body: dict[str, Any] = {
        "id": result.id,
        "model": model.name,
        "version": model.version,
        "prediction": outputs.prediction,
    }
    if outputs.scores is not None:
        labels = model.labels
        body["label"] = [labels[index] for index in outputs.prediction.tolist()]
        body["probabilities"] = outputs.scores
    if result.outside is not None:
        body["warnings"] = result.outside.warnings
        if result.outside.omitted:
            body["warnings_omitted"] = result.outside.omitted
    return PredictionResponse(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def _features(content: bytes, max_rows: int) -> Any:  # noqa: ANN401  # what a client sent may be anything
    body = parse_json(content, max_rows)
    if not isinstance(body, dict):
        raise InvalidInputError([Problem(("body",), 'the body must be an object: {"features": …}')])
    if len(body) != 1 or "features" not in body:
        problems = [] if "features" in body else [Problem(("features",), "the field 'features' is missing")]
        # Keys are chosen by the client: limit their number and length in the message.
        odd = islice((key[:SHOWN] for key in body if key != "features"), MAX_PROBLEMS)
        problems += [Problem((key,), f"unknown field {key!r}; send only 'features'") for key in odd]
        raise InvalidInputError(problems[:MAX_PROBLEMS])
    features = body["features"]
    # Count rows before creating anything from them.
    is_long = isinstance(features, list) and len(features) > max_rows
    if is_long and not ROWS.isdisjoint(map(type, features)):
        raise TooLargeError(f"{len(features)} rows exceed the limit of {max_rows}; send them in parts")
    return features


def _check_containers(content: bytes, limit: int) -> None:
    """Raise TooLargeError for too many arrays and objects: the parser creates them while nothing else can run."""
    if content.count(b"[") + content.count(b"{") <= limit:
        return
    compact = content.translate(None, b" \t\r\n")
    if sum(map(compact.count, _NESTED)) > limit:
        raise TooLargeError(f"the body has more than {limit} arrays and objects; send fewer rows at a time")


def parse_json(content: bytes, max_rows: int) -> Any:  # noqa: ANN401
    """Parse JSON including NaN and infinities, so that the signature can reject those with their place.

    For a large body, it is reported as a line and column instead.

    Args:
        content: UTF-8 (RFC 8259, 8.1), with or without a byte order mark.
        max_rows: the most rows that one request may have; each is an array or an object.

    Raises:
        InvalidInputError: it is not valid JSON.
        TooLargeError: it has more arrays and objects than a valid request needs.
    """
    _check_containers(content, 2 * max_rows + SPARE_CONTAINERS)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        cause = error
    text = content
    if content.startswith(codecs.BOM_UTF8):
        text = content.removeprefix(codecs.BOM_UTF8)
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            cause = error
    if len(text) <= MAX_LENIENT_BYTES:
        with suppress(ValueError, RecursionError):  # report the first error, which is more precise
            return json.loads(text.decode())  # from bytes, `json` would guess the encoding
    raise InvalidInputError([Problem(("body",), why_not_json(content, cause))]) from cause

"""Compare the parsers of prediction requests with their published schemas, on bodies with changed values."""

import json
import math
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import getitem
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator, validators  # type: ignore[import-untyped]

from slipway_api.errors import InvalidInputError, TooLargeError
from slipway_api.protocols.infer_outputs import HEADER_LENGTH
from slipway_api.protocols.messages import ParseRequest, PredictionRequest
from slipway_api.protocols.open_inference import MAX_ID
from slipway_api.serving.served_model import ServedModel
from slipway_api.web.routes import PREDICTION_PATHS
from slipway_core.errors import FeaturesError
from support.bundles import FEATURES

MAX_ROWS = 3
# The parser of `/invocations` ignores these values of `params`; the schema describes only null and {}.

Path = tuple[str | int, ...]
# The path of a value, and the value that replaces it.
Change = tuple[Path, Any]


class Request(NamedTuple):
    """An accepted body, and the binary bytes after it."""

    body: Any
    tail: bytes = b""


KEYS = (
    *("features", "id", "inputs", "outputs", "parameters", "params", "instances", "dataframe_split", "index", "name"),
    *("dataframe_records", "columns", "data", "binary_data_size", "binary_data", "binary_data_output", "extra", "X"),
    *("shared_memory_region", "classification", FEATURES[0]),
)
ADDED: tuple[Any, ...] = (None, 1, True, "x", [], {}, {"x": 1})
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 4, 2.0, 1.5, 1e39, 2**63, 10**400, math.nan, math.inf),
    *("", "X", "1", "x" * (MAX_ID + 1), "\ud800", FEATURES[0]),
    *([], {}, [None], ["x"], [1], [[]], [{}], [[1]]),
)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of a value and the values within it, but only of the first and last entries of lists."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for index in {0, len(value) - 1}:
            yield from places(value[index], (*path, index))


def changes(body: Any) -> Iterator[Change]:
    """Yield all changes of one value of a body."""
    for path in places(body):
        value = reduce(getitem, path, body)
        news = [*ODD, [value]]
        if isinstance(value, dict):
            news += [{**value, key: new} for key in KEYS for new in ADDED]
            news += [{key: value[key] for key in value if key != gone} for gone in value]
        elif isinstance(value, list) and value:
            news += [value[0], value[:-1], value * 2, *([*value, new] for new in ADDED)]
        yield from ((path, new) for new in news)


def changed(body: Any, change: Change) -> Any:
    """Return a copy of a body with a change."""
    path, new = change
    if not path:
        return new
    copy: Any = dict(body) if isinstance(body, dict) else list(body)
    copy[path[0]] = changed(body[path[0]], (path[1:], new))
    return copy


def published(read: ParseRequest, document: Mapping[str, Any]) -> Draft202012Validator:
    """Return a validator with the published schema of the paths of a parser."""
    # KServe's V1 protocol is described with `instances` alone; its parser also accepts the other scoring formats.
    described = [path.path for path in PREDICTION_PATHS if path.read is read and not path.path.startswith("/v1/")]
    paths = [document["paths"][path]["post"]["requestBody"] for path in described]
    schema, *others = [path["content"]["application/json"]["schema"] for path in paths]
    assert all(other == schema for other in others)
    # What JSON cannot express, or JSON Schema does not distinguish: NaN, lone surrogates, and 1.0 as an integer.
    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: type(value) is int,
            "number": lambda _, value: type(value) in {int, float} and -math.inf < value < math.inf,
            "string": lambda _, value: isinstance(value, str) and "\ud800" not in value,
        }
    )
    return validators.extend(Draft202012Validator, type_checker=types)({**schema, "components": document["components"]})


def problems(read: ParseRequest, model: ServedModel, request: Request) -> list[str]:
    """Return the errors of a parser, each with its place; none if it accepts the request."""
    content = json.dumps(request.body).encode()
    headers = [(HEADER_LENGTH, b"%d" % len(content))] if request.tail else []
    try:
        read(model, PredictionRequest(content + request.tail, "application/json", headers, MAX_ROWS))
    except (InvalidInputError, FeaturesError) as error:
        return [f"{'/'.join(map(str, problem.loc))}: {problem.msg}" for problem in error.problems]
    except TooLargeError as error:
        return [str(error)]
    return []

"""The published schemas of prediction requests accept exactly the bodies that the parsers accept."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import getitem
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators  # type: ignore[import-untyped]

from slipway_api.errors import InvalidInputError, TooLargeError
from slipway_api.protocols import native, open_inference, scoring
from slipway_api.protocols.infer_outputs import HEADER_LENGTH
from slipway_api.protocols.messages import ParseRequest, PredictionRequest
from slipway_api.protocols.open_inference import MAX_ID
from slipway_api.serving.served_model import ServedModel
from slipway_api.web.routes import PREDICTION_PATHS
from slipway_core.errors import FeaturesError
from support.api import RunningApi
from support.bundles import FEATURES

MAX_ROWS = 3

# What the parsers reject and the schemas accept: from the error message to the reason.
BEYOND_THE_SCHEMA = {
    # The schemas are the same for all models.
    r"must be a (finite )?number|is empty; it must be a number": "types of the features of the model",
    r"expected 4 features|the request has \d+ inputs|must be of shape": "number of features of the model",
    r"the feature '.*' is missing|the model has no feature": "names of the features of the model",
    r"must contain each feature's name exactly once": "names of the features of the model",
    r"is unknown to this model|^inputs: the input '.*' is missing": "names of the inputs of the model",
    r"^outputs/\d+: each of `outputs` must have|^outputs: `outputs` must be a list": "outputs of the model",
    r"^inputs/X.*: (the rows must each|a row must) be": "only columns of features have numbers as values",
    r"^inputs/.*: .*must be a list|^dataframe_split/data/0: |^inputs/X: ": "values of columns that are not ignored",
    # JSON Schema compares no values with each other.
    r"is duplicated|must have as many rows": "names and shapes of the other inputs",
    r"a row must be a list of \d+ values|must have as many values as the first": "number of columns, length of columns",
    r"does not match its shape|but its shape .* needs": "length of the data against the shape",
    r"must be a valid U?INT|is too large for FP": "range of the data type",
    r"must have either `data` or": "the choice between JSON and binary",
    r"must add up to the \d+ bytes|has \d+ binary bytes, but": "bytes after the JSON",
    r"is too large for a 32-bit float": "a number is rounded to float64 before it is compared",
    r"rows exceed the limit": "SLIPWAY_MAX_ROWS",
    r"uses shared memory|the parameter `.*` is not supported": "extensions of the protocol, among free parameters",
}
# The parser of `/invocations` ignores these values of `params`; the schema describes only null and {}.
IGNORED_PARAMS: tuple[Any, ...] = ([], "", 0)


ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3, 5.2, 2.3]]
NAMED = [dict(zip(FEATURES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[name] for row in NAMED] for name in FEATURES}
MATRIX = {"name": "X", "shape": [2, 4], "datatype": "FP32"}


Path = tuple[str | int, ...]
# The path of a value, and the value that replaces it.
Change = tuple[Path, Any]


class Request(NamedTuple):
    """An accepted body, and the binary bytes after it."""

    body: Any
    tail: bytes = b""


ACCEPTED: Mapping[ParseRequest, Sequence[Request]] = {
    native.read: [
        Request({"features": features}) for features in (ROWS[0], NAMED[0], ROWS, NAMED, [ROWS[0], NAMED[1]])
    ],
    open_inference.read: [
        Request(
            {
                "id": "7",
                "inputs": [{**MATRIX, "data": [*ROWS[0], *ROWS[1]], "parameters": {}}],
                "outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probabilities"}],
                "parameters": {"binary_data_output": False},
            }
        ),
        Request({"id": None, "inputs": [{**MATRIX, "data": ROWS}], "outputs": None, "parameters": None}),
        Request(
            {"inputs": [{"name": n, "shape": [2], "datatype": "FP64", "data": values} for n, values in COLUMNS.items()]}
        ),
        Request({"inputs": [{"name": n, "shape": [1, 1], "datatype": "INT8", "data": [[7]]} for n in FEATURES]}),
        Request({"inputs": [{**MATRIX, "parameters": {"binary_data_size": 32}}]}, bytes(32)),
    ],
    scoring.read: [
        Request(body)
        for body in (
            {"instances": ROWS, "params": {}},
            {"instances": NAMED},
            {"inputs": ROWS},
            {"inputs": NAMED},
            {"inputs": {"X": ROWS}},
            {"inputs": {"X": NAMED}},
            {"inputs": COLUMNS},
            {"inputs": {name: [[value] for value in values] for name, values in COLUMNS.items()}},
            {"dataframe_split": {"columns": list(FEATURES), "data": ROWS, "index": [0, 1]}},
            {"dataframe_records": NAMED},
        )
    ],
}
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


class Comparison:
    """Compares a parser with its published schema, and remembers the outcomes."""

    def __init__(self, api: RunningApi, read: ParseRequest) -> None:
        self._read = read
        self._model = api.app.state.models.get("iris", None)
        self._schema = published(read, api.app.openapi())
        self.accepted = self.rejected = 0
        self.differences: set[str] = set()

    def check(self, request: Request) -> None:
        """Require that both accept the request, or both reject it, apart from the listed differences."""
        messages = problems(self._read, self._model, request)
        if self._schema.is_valid(request.body):
            for message in messages:
                known = {pattern for pattern in BEYOND_THE_SCHEMA if re.search(pattern, message)}
                assert known, f"only the parser rejects {request.body}: {message}"
                self.differences |= known
        elif not messages:
            assert request.body.get("params") in IGNORED_PARAMS, f"only the schema rejects {request.body}"
        self.accepted += not messages
        self.rejected += bool(messages)


def test_parsers_and_schemas_agree_on_accepted_bodies_with_one_change(api: RunningApi) -> None:
    assert {path.read for path in PREDICTION_PATHS} == set(ACCEPTED)
    differences = set()
    for read, requests in ACCEPTED.items():
        comparison = Comparison(api, read)
        for body, tail in requests:
            comparison.check(Request(body, tail))
            for change in changes(body):
                comparison.check(Request(changed(body, change), tail))
        assert min(comparison.accepted, comparison.rejected) > 100
        differences |= comparison.differences

    assert differences == set(BEYOND_THE_SCHEMA)


@pytest.mark.parametrize("read", ACCEPTED, ids=lambda read: read.__module__.rpartition(".")[2])
def test_parser_and_schema_agree_on_bodies_with_more_changes(api: RunningApi, read: ParseRequest) -> None:
    comparison = Comparison(api, read)

    @settings(max_examples=300)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        body, tail = data.draw(st.sampled_from(ACCEPTED[read]))
        for _ in range(data.draw(st.integers(2, 3))):
            body = changed(body, data.draw(st.sampled_from(list(changes(body)))))
        comparison.check(Request(body, tail))

    compare()

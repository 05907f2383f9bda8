"""The published schemas of prediction requests accept exactly the bodies that the parsers accept."""

import re
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_api.protocols import native, open_inference, sagemaker, scoring
from slipway_api.protocols.messages import ParseRequest
from slipway_api.web.routes import PREDICTION_PATHS
from support.api import RunningApi
from support.bundles import FEATURES
from support.schemas import Request, changed, changes, problems, published

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

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3, 5.2, 2.3]]
NAMED = [dict(zip(FEATURES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[name] for row in NAMED] for name in FEATURES}
MATRIX = {"name": "X", "shape": [2, 4], "datatype": "FP32"}


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
            {"instances": NAMED, "params": {"output": "probabilities"}},
            {"inputs": ROWS, "params": None},
            {"inputs": NAMED},
            {"inputs": {"X": ROWS}},
            {"inputs": {"X": NAMED}},
            {"inputs": COLUMNS},
            {"inputs": {name: [[value] for value in values] for name, values in COLUMNS.items()}},
            {"dataframe_split": {"columns": list(FEATURES), "data": ROWS, "index": [0, 1]}},
            {"dataframe_records": NAMED},
        )
    ],
    # The same bodies as `scoring.read`.
    sagemaker.read: [Request({"instances": ROWS, "params": {}}), Request({"inputs": COLUMNS})],
}


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
        else:
            assert messages, f"only the schema rejects {request.body}"
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

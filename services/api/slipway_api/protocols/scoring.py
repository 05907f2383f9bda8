"""The scoring protocol of SageMaker and MLflow: JSON in four forms or CSV in, `{"predictions": […]}` out.

See MLflow's "Deploy Models: Inference Server Specification", and SageMaker's "Common data formats for inference".
"""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

import numpy as np
import orjson

from slipway_api.errors import InvalidInputError, TooLargeError, UnsupportedMediaTypeError
from slipway_api.http.content_types import check_json, prefers
from slipway_api.protocols.csv_rows import named_rows
from slipway_api.protocols.messages import ParsedRequest, PredictionRequest, PredictionResponse, PredictionResult
from slipway_api.protocols.native import parse_json
from slipway_api.serving.served_model import ServedModel
from slipway_core.answers import PARAMS, PREDICTION, PROBABILITIES, Choice, chosen_output
from slipway_core.errors import FeaturesError, Problem
from slipway_core.feature_values import MAX_PROBLEMS
from slipway_core.manifest import label_text
from slipway_core.printable import SHOWN
from slipway_core.rows import Rows as GraphRows

CSV: Final = "text/csv"
PREDICTION_ID: Final = b"x-prediction-id"
# A header with the number of values outside the trained range, because the body has no place for warnings.
WARNINGS: Final = b"x-prediction-warnings"

Rows = list[Any]


def read(model: ServedModel, request: PredictionRequest) -> ParsedRequest:
    """Parse a scoring request.

    Raises:
        UnsupportedMediaTypeError: it is neither JSON nor CSV.
        InvalidInputError: it does not match its content type, or is not in one of the four forms.
        FeaturesError: the rows do not fit the signature.
        TooLargeError: it has too many rows.
    """
    as_csv = prefers(request.header(b"accept"), "text/csv")
    if request.content_type == CSV:
        rows = named_rows(request.body, model.signature, request.max_rows)
        return ParsedRequest(
            _rows(model, rows, lambda row, *name: ("rows", row, *name), request.max_rows),
            partial(write_predictions, choice=PREDICTION, as_csv=as_csv),
        )
    try:
        check_json(request.content_type)
    except UnsupportedMediaTypeError as error:
        raise UnsupportedMediaTypeError(f"{error}, or `{CSV}`") from error
    body = parse_json(request.body, request.max_rows)
    form, content = _form(body)
    write = partial(write_predictions, choice=chosen_output(body.get(PARAMS), model.manifest), as_csv=as_csv)
    rows, place = _FORMS[form](content, model, request.max_rows)
    return ParsedRequest(_rows(model, rows, lambda *loc: (form, *place(*loc)), request.max_rows), write)


def write_predictions(result: PredictionResult, *, choice: Choice, as_csv: bool) -> PredictionResponse:
    """Return what the bundle's pyfunc model returns: labels of a classifier or its probabilities, or numbers.

    In CSV, the probabilities of a row are in the order of the classes.
    """
    model, outputs = result.model, result.outputs
    prediction: Any = outputs.prediction
    if model.manifest.classes is not None:
        if choice == PROBABILITIES and outputs.scores is not None:
            prediction = (
                outputs.scores if as_csv else [dict(zip(model.labels, row, strict=True)) for row in outputs.scores]
            )
        else:
            prediction = [model.manifest.classes[index] for index in prediction.tolist()]
    headers = [(PREDICTION_ID, str(result.id).encode())]
    if result.outside is not None:
        headers.append((WARNINGS, b"%d" % sum(result.outside.counts)))
    if as_csv:
        return PredictionResponse(_csv_lines(prediction).encode(), b"text/csv; charset=utf-8", headers)
    body = {"predictions": prediction}
    return PredictionResponse(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), headers=headers)


def _csv_lines(predictions: Iterable[Any]) -> str:
    """Return a line per prediction, of one label or value, or of an array of probabilities."""
    text = io.StringIO(newline="")
    lines = (one if isinstance(one, np.ndarray) else [label_text(one)] for one in predictions)
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _form(body: Any) -> tuple[str, Any]:  # noqa: ANN401  # what a client sent may be anything
    """Return the name of a body's form, and its content."""
    choice = f"send exactly one of {', '.join(f'`{name}`' for name in _FORMS)}"
    if not isinstance(body, dict):
        raise InvalidInputError([Problem(("body",), f"the body must be an object: {choice}")])
    odd = (name[:SHOWN] for name in body if name not in _FORMS and name != PARAMS)
    problems = [Problem((name,), f"unknown field {name!r}; {choice}") for name in islice(odd, MAX_PROBLEMS)]
    forms = [name for name in _FORMS if name in body]
    if len(forms) != 1 and not problems:
        problems.append(Problem(("body",), choice))
    if problems:
        raise InvalidInputError(problems[:MAX_PROBLEMS])
    return forms[0], body[forms[0]]


# Maps the index of a row, and optionally the name of a feature, to the place in the form.
Place = Callable[..., tuple[str | int, ...]]


def _same_place(*loc: str | int) -> tuple[str | int, ...]:
    return loc


def _instances(content: Any, _model: ServedModel, _max_rows: int) -> tuple[Rows, Place]:  # noqa: ANN401
    return _list(content, "instances"), _same_place


def _inputs(content: Any, model: ServedModel, max_rows: int) -> tuple[Rows, Place]:  # noqa: ANN401
    """Parse a tensor, or columns by name."""
    if not isinstance(content, dict):
        return _list(content, "inputs"), _same_place
    first, *others = model.manifest.inputs
    is_matrix = first.column is None and not others
    if is_matrix and content.keys() == {first.name} and model.signature.names != (first.name,):
        return _list(content[first.name], "inputs", first.name), lambda *loc: (first.name, *loc)
    _check_names(content, model, "inputs")
    return _from_columns({name: content[name] for name in model.signature.names}, max_rows), lambda row, *name: (
        *name,
        row,
    )


def _dataframe_split(content: Any, model: ServedModel, max_rows: int) -> tuple[Rows, Place]:  # noqa: ANN401
    root = "dataframe_split"
    if not isinstance(content, dict) or not isinstance(content.get("columns"), list):
        raise _wrong(f"`{root}` must be an object with the lists `columns` and `data`", root)
    columns, data = content["columns"], _list(content.get("data"), root, "data")
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) != len(columns):
        raise _wrong("`columns` must contain each feature's name exactly once", root, "columns")
    _check_names(columns, model, root, "columns")
    _check_count(data, max_rows)
    for index, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise _wrong(
                f"a row must be a list of {len(columns)} values, one for each of `columns`", root, "data", index
            )
    return [dict(zip(columns, row, strict=True)) for row in data], lambda *loc: ("data", *loc)


def _dataframe_records(content: Any, _model: ServedModel, _max_rows: int) -> tuple[Rows, Place]:  # noqa: ANN401
    rows = _list(content, "dataframe_records")
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _wrong("a record must be an object by feature name", "dataframe_records", index)
    return rows, _same_place


_FORMS: Mapping[str, Callable[[Any, ServedModel, int], tuple[Rows, Place]]] = {
    "instances": _instances,
    "inputs": _inputs,
    "dataframe_split": _dataframe_split,
    "dataframe_records": _dataframe_records,
}


def _check_names(found: Collection[str], model: ServedModel, *loc: str) -> None:
    """Reject missing feature names, before any row is created.

    Unknown names alone are ignored, as by MLflow's own server; beside a missing one they are probably misspelled.
    """
    names, there = model.signature.names, set(found)
    if missing := [name for name in names if name not in there]:
        problems = [Problem((*loc, name), f"the feature {name!r} is missing") for name in missing]
        extra = islice((name[:SHOWN] for name in found if name not in names), MAX_PROBLEMS)
        problems += [Problem((*loc, name), f"the model has no feature {name!r}") for name in extra]
        raise FeaturesError(problems[:MAX_PROBLEMS])


def _from_columns(columns: Mapping[str, Any], max_rows: int) -> Rows:
    """Return columns of equal length as rows; a value may be wrapped in a list."""
    names = list(columns)
    for name in names:
        _check_count(_list(columns[name], "inputs", name), max_rows)
        if len(columns[name]) != len(columns[names[0]]):
            raise _wrong("all columns must have as many values as the first", "inputs", name)
    values = [[_unwrapped(value) for value in columns[name]] for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _unwrapped(value: Any) -> Any:  # noqa: ANN401
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _list(value: Any, *loc: str | int) -> Rows:  # noqa: ANN401
    if not isinstance(value, list) or not value:
        raise _wrong(f"`{str(loc[-1])[:SHOWN]}` must be a list of at least one entry", *loc)
    return value


def _check_count(rows: Sequence[Any], max_rows: int) -> None:
    if len(rows) > max_rows:
        raise TooLargeError(f"{len(rows)} rows exceed the limit of {max_rows}; send them in parts")


def _rows(model: ServedModel, rows: Rows, place: Place, max_rows: int) -> GraphRows:
    """Convert rows to the form that the graph takes, or report the errors at their places in the form."""
    _check_count(rows, max_rows)
    # The signature would accept a list of numbers as one row; here each entry is a row.
    odd = [index for index, row in enumerate(rows) if not isinstance(row, list | dict)]
    if len(odd) == len(rows):
        raise FeaturesError([Problem(place(), "the rows must each be a list or an object; write one row as [[…]]")])
    if odd:
        raise FeaturesError(
            [Problem(place(index), "a row must be a list or an object") for index in islice(odd, MAX_PROBLEMS)]
        )
    names = set(model.signature.names)
    for index, row in enumerate(rows):
        if isinstance(row, dict) and len(row) > len(names) and names <= row.keys():
            rows[index] = {name: value for name, value in row.items() if name in names}
    try:
        return model.signature.rows(rows)
    except FeaturesError as error:
        raise FeaturesError([Problem(place(*problem.loc[1:]), problem.msg) for problem in error.problems]) from error


def _wrong(message: str, *loc: str | int) -> InvalidInputError:
    # Names are chosen by the client: limit their length in the message.
    return InvalidInputError([Problem(tuple(k[:SHOWN] if isinstance(k, str) else k for k in loc), message)])

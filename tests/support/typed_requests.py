"""Requests of every protocol with the rows of a table model, and what their responses predict."""

import csv
import gzip
import io
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import numpy as np

from slipway_api.accounts.models import Role
from slipway_core.columns import InputColumn
from slipway_core.manifest import Label, label_text
from support.api import RunningApi
from support.typed_models import TABLE_COLUMNS, TABLE_NAMES

Rows = Sequence[Sequence[Any]]
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv; charset=utf-8"}
NATIVE, INFER, V1 = "/models/{}/predict", "/v2/models/{}/infer", "/v1/models/{}:predict"
DATATYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "bool": "BOOL", "string": "BYTES", "date": "BYTES"}


class Sent(NamedTuple):
    """A request: its path with a place for the model's name, its body and headers."""

    path: str
    content: bytes
    headers: Mapping[str, str] = JSON

    def to(self, api: RunningApi, model: str) -> httpx.Response:
        return api.post(self.path.format(model), role=Role.USER, content=self.content, headers=self.headers)

    def in_gzip(self) -> "Sent":
        return self._replace(
            content=gzip.compress(self.content, 1), headers={**self.headers, "Content-Encoding": "gzip"}
        )


def in_json(path: str, body: object) -> Sent:
    """Return a request with a body of JSON, which may have unpaired surrogates and NaN."""
    return Sent(path, json.dumps(body).encode())


def named(rows: Rows) -> list[dict[str, Any]]:
    return [dict(zip(TABLE_NAMES, row, strict=True)) for row in rows]


def columns_of(rows: Rows) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def tensors(rows: Rows) -> list[dict[str, Any]]:
    """Return a tensor per column, its values in JSON."""
    return [
        {"name": column.name, "datatype": DATATYPES[column.dtype], "shape": [len(rows)], "data": values}
        for column, values in zip(TABLE_COLUMNS, columns_of(rows), strict=True)
    ]


def framed(texts: Sequence[str]) -> bytes:
    """Return texts as binary BYTES."""
    contents = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


def binary_part(column: InputColumn, values: Sequence[Any]) -> tuple[dict[str, Any], bytes]:
    """Return a tensor without data, and its binary bytes."""
    datatype = DATATYPES[column.dtype]
    if datatype == "BYTES":
        tail = framed(["" if value is None else value for value in values])
    elif column.nullable and column.dtype != "float32":
        datatype = "FP64"
        tail = np.array([math.nan if value is None else value for value in values], "<f8").tobytes()
    else:
        dtype = {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[datatype]
        tail = np.array([math.nan if value is None else value for value in values], dtype).tobytes()
    head = {"name": column.name, "datatype": datatype, "shape": [len(values), 1]}
    return {**head, "parameters": {"binary_data_size": len(tail)}}, tail


def in_binary(parts: Sequence[tuple[dict[str, Any], bytes]]) -> Sent:
    head = json.dumps({"inputs": [one for one, _ in parts]}).encode()
    content = head + b"".join(tail for _, tail in parts)
    return Sent(INFER, content, {"Inference-Header-Content-Length": str(len(head))})


def binary_inference(rows: Rows) -> Sent:
    values = columns_of(rows)
    return in_binary([binary_part(column, one) for column, one in zip(TABLE_COLUMNS, values, strict=True)][::-1])


def nested(rows: Rows) -> Sent:
    inputs = [
        {**one, "shape": [len(rows), 1], "data": [[value] for value in one["data"]], "parameters": None}
        for one in tensors(rows)
    ]
    return in_json(INFER, {"inputs": inputs})


def csv_text(rows: Rows, names: Sequence[str] = (), *, end: str = "\r\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([names] if names else [])
    writer.writerows([json.dumps(cell) if isinstance(cell, bool) else cell for cell in row] for row in rows)
    return text.getvalue()


def in_csv(text: str) -> Sent:
    return Sent(V1, text.encode(), CSV)


def with_extra_columns(rows: Rows) -> Sent:
    names = ("id", *reversed(TABLE_NAMES), "note")
    return in_csv(csv_text([(index, *reversed(row), 'a,\n"b"') for index, row in enumerate(rows)], names))


ENCODINGS: Mapping[str, Callable[[Rows], Sent]] = {
    "native lists": lambda rows: in_json(NATIVE, {"features": [list(row) for row in rows]}),
    "native objects": lambda rows: in_json(NATIVE, {"features": [dict(reversed(row.items())) for row in named(rows)]}),
    "open inference": lambda rows: in_json(INFER, {"inputs": tensors(rows)[::-1]}),
    "open inference, nested": nested,
    "open inference, binary": binary_inference,
    "instances": lambda rows: in_json(V1, {"instances": rows}),
    "instances, objects": lambda rows: in_json(V1, {"instances": [{**row, "extra": [1]} for row in named(rows)]}),
    "inputs, rows": lambda rows: in_json(V1, {"inputs": rows}),
    "inputs, columns": lambda rows: in_json(V1, {"inputs": dict(zip(TABLE_NAMES, columns_of(rows), strict=True))}),
    "inputs, nested": lambda rows: in_json(
        V1, {"inputs": {name: [[row[name]] for row in named(rows)] for name in TABLE_NAMES}}
    ),
    "dataframe_split": lambda rows: in_json(
        V1,
        {"dataframe_split": {"columns": [*TABLE_NAMES[::-1], "odd"], "data": [[*row[::-1], None] for row in rows]}},
    ),
    "dataframe_records": lambda rows: in_json(V1, {"dataframe_records": named(rows)}),
    "CSV": lambda rows: in_csv(csv_text(rows)),
    "CSV, header": lambda rows: in_csv(csv_text(rows, TABLE_NAMES, end="\n")),
    "CSV, quotes and BOM": lambda rows: in_csv("\ufeff" + csv_text(rows, TABLE_NAMES, quoting=csv.QUOTE_ALL)),
    "CSV, extra columns": with_extra_columns,
}


class Predicted(NamedTuple):
    """The predictions of a response, and its probabilities if it has any."""

    prediction: list[float]
    probabilities: list[list[float]] | None
    labels: list[Any] | None


def predicted(answer: httpx.Response, classes: Sequence[Label] | None = None) -> Predicted:
    """Return what a response in JSON predicts; the predictions of KServe V1 are classes in their own type."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if "outputs" in body:
        found = {one["name"]: one for one in body["outputs"]}
        if "label_name" not in found:
            [value] = found.values()
            return Predicted(value["data"], None, None)
        names = found.pop("label_name")["data"]
        label, scores = sorted(found.values(), key=lambda one: len(one["shape"]))
        flat, width = scores["data"], scores["shape"][1]
        rows = [flat[begin : begin + width] for begin in range(0, len(flat), width)]
        return Predicted(label["data"], rows, names)
    if "predictions" in body and classes:
        found = body["predictions"]
        keys = [(type(one), one) for one in classes]
        return Predicted([keys.index((type(one), one)) for one in found], None, list(map(label_text, found)))
    if "predictions" in body:
        return Predicted(body["predictions"], None, None)
    return Predicted(body["prediction"], body.get("probabilities"), body.get("label"))

"""Drawn bodies for models of typed columns: never a 500, never a lost record, equal answers between protocols."""

import json
import struct
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_api.prediction_log.shipper import REJECTED
from slipway_core.database import connect
from support.api import RunningApi
from support.journal import closing, ids_in
from support.typed_models import KINDS, TABLE_COLUMNS, TABLE_NAMES, TABLE_ROWS
from support.typed_requests import (
    CSV,
    DATATYPES,
    ENCODINGS,
    INFER,
    NATIVE,
    V1,
    Sent,
    in_binary,
    in_json,
    named,
    predicted,
    tensors,
)

PROPERTY = settings(deadline=None, max_examples=30)
ROW = list(TABLE_ROWS[0])
FLOATS32 = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**90), max_value=2.0**90)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=8)
DATES = st.dates().map(str) | st.datetimes().map(lambda at: at.isoformat())
VALID: dict[str, st.SearchStrategy[Any]] = {
    "color": st.sampled_from(["red", "green", "blue"]),
    "city": TEXT | st.none(),
    "weight": FLOATS32 | st.none(),
    "price": st.floats(-1e30, 1e30),
    "size": st.sampled_from([0.1, 2, 37.5]),
    "count": INTEGERS,
    "visits": st.integers(-(2**24), 2**24) | st.none(),
    "member": st.booleans(),
    "consent": st.booleans() | st.none(),
    "day": DATES,
    "seen": DATES | st.none(),
}
VALID_ROWS = st.lists(st.tuples(*VALID.values()), min_size=1, max_size=4)

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**24 + 1, 2**53 + 1, 2**63, 10**400, -1, 0, 1, 1e39, 1e308]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["", "red", "2026-11-21", "2026-02-30", "\ud800", "\0", "5,1", "NaN"]),
    st.lists(st.integers() | st.none() | st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)
ANY_ROWS = st.lists(
    st.tuples(*[valid | ODD for valid in VALID.values()])
    | st.lists(ODD, max_size=12)
    | st.fixed_dictionaries({}, optional=dict.fromkeys(TABLE_NAMES, ODD))
    | ODD,
    max_size=3,
)


class Sender:
    """Send requests, and note the ids of the predictions."""

    def __init__(self, api: RunningApi) -> None:
        self.api = api
        self.ids: set[uuid.UUID] = set()

    def send(self, sent: Sent, model: str = "texts") -> httpx.Response:
        """Return a response, which must be a prediction or a client's error."""
        answer = sent.to(self.api, model)
        assert answer.status_code in {200, 413, 415, 422}, answer.text
        if answer.status_code == 200:
            body = answer.json()
            known = body.get("id") or answer.headers.get("X-Prediction-ID") or body["parameters"]["prediction_id"]
            self.ids.add(uuid.UUID(known))
        return answer


@pytest.fixture(scope="module")
def sender(typed_api: RunningApi) -> Iterator[Sender]:
    """Send requests; at the end, every prediction is in the database."""
    sender = Sender(typed_api)
    yield sender
    typed_api.ship()
    with closing(connect(typed_api.settings.database_url.get_secret_value())) as engine:
        assert sender.ids <= set(ids_in(engine))
    assert not list((typed_api.settings.journal_dir / REJECTED).glob("*"))
    assert typed_api.sample("slipway_prediction_log_dropped_records_total") == 0


@PROPERTY
@given(rows=VALID_ROWS)
def test_valid_rows_are_predicted_alike_and_logged(sender: Sender, rows: list[tuple[Any, ...]]) -> None:
    expected = predicted(sender.send(ENCODINGS["native lists"](rows), "integers"))

    for name, encode in ENCODINGS.items():
        found = predicted(sender.send(encode(rows), "integers"), KINDS["integers"].classes)
        assert found.prediction == expected.prediction, name
        assert found.probabilities in (None, expected.probabilities), name


@PROPERTY
@given(rows=ANY_ROWS, model=st.sampled_from(list(KINDS)), data=st.data())
def test_any_rows_get_a_prediction_or_a_reason(
    sender: Sender, rows: list[Any], model: str, data: st.DataObject
) -> None:
    columns = data.draw(st.dictionaries(st.sampled_from([*TABLE_NAMES, "odd"]), ODD | st.lists(ODD, max_size=3)))
    bodies: list[tuple[str, object]] = [
        (NATIVE, {"features": rows}),
        (V1, {"instances": rows}),
        (V1, {"inputs": rows}),
        (V1, {"inputs": {**{name: [None] for name in TABLE_NAMES}, **columns}}),
        (V1, {"dataframe_records": rows}),
        (V1, {"dataframe_split": {"columns": list(TABLE_NAMES), "data": rows}}),
    ]

    answers = [sender.send(in_json(path, body), model) for path, body in bodies]

    # A list of rows means the same in these forms, unless no entry is a row.
    if any(isinstance(row, list | tuple | dict) for row in rows):
        assert {answer.status_code for answer in answers[:3]} in ({200}, {422})


@PROPERTY
@given(data=st.data())
def test_any_tensors_get_a_prediction_or_a_reason(sender: Sender, data: st.DataObject) -> None:
    datatypes = ["BOOL", "BYTES", "FP16", "FP32", "FP64", "INT8", "INT64", "UINT64", "x"]
    inputs = tensors([ROW])
    for place in data.draw(st.sets(st.integers(0, len(inputs) - 1), max_size=3)):
        inputs[place] |= data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "datatype": st.sampled_from(datatypes),
                    "data": st.lists(ODD | VALID[TABLE_NAMES[place]], max_size=2) | ODD,
                    "shape": st.sampled_from([[1], [1, 1], [2], [], [0], [10**30], "x"]),
                    "name": st.sampled_from([*TABLE_NAMES, "X", "\ud800"]),
                    "parameters": st.sampled_from([{}, None, {"binary_data_size": 4}, 1]),
                },
            )
        )

    sender.send(in_json(INFER, {"inputs": inputs}))


@PROPERTY
@given(data=st.data())
def test_any_binary_tensors_get_a_prediction_or_a_reason(sender: Sender, data: st.DataObject) -> None:
    parts = []
    for column in TABLE_COLUMNS:
        kind = DATATYPES[column.dtype]
        tail = data.draw(
            st.binary(max_size=12)
            | st.binary(max_size=8).map(lambda text: struct.pack("<I", len(text)) + text)
            | st.binary(min_size=8, max_size=8)
            | st.sampled_from([b"\0", b"\1", b"\3\0\0\0red", b"\xff" * 8, b"\x0a\0\0\0" + b"2026-11-21"])
        )
        head = {"name": column.name, "datatype": kind, "shape": [1], "parameters": {"binary_data_size": len(tail)}}
        parts.append((head, tail))

    sender.send(in_binary(parts))


CELL = st.text(max_size=4) | st.sampled_from(
    ["red", "", "1", "NaN", "1e400", "true", "2026-11-21", '"', '"\n"', "5,1", "\0"]
)


@PROPERTY
@given(
    content=st.lists(st.lists(CELL, max_size=12).map(",".join), max_size=3).map("\n".join).map(str.encode)
    | st.binary(max_size=60)
    | st.lists(st.lists(CELL, min_size=11, max_size=11).map(",".join), max_size=2).map(
        lambda lines: "\n".join([",".join(TABLE_NAMES), *lines]).encode()
    )
)
def test_any_csv_gets_a_prediction_or_a_reason(sender: Sender, content: bytes) -> None:

    sender.send(Sent(V1, content, CSV))


@PROPERTY
@given(value=ODD)
def test_one_odd_value_means_the_same_in_each_form(sender: Sender, value: object) -> None:
    for name in TABLE_NAMES:
        row = [value if column == name else old for column, old in zip(TABLE_NAMES, ROW, strict=True)]
        forms = [
            in_json(NATIVE, {"features": row if not isinstance(value, list | dict) else [row]}),
            in_json(NATIVE, {"features": named([row])}),
            in_json(V1, {"instances": [row]}),
            in_json(V1, {"dataframe_records": named([row])}),
        ]

        answers = [sender.send(form, "values") for form in forms]

        assert len({answer.status_code for answer in answers}) == 1
        if answers[0].status_code == 200:
            assert len({json.dumps(predicted(answer).prediction) for answer in answers}) == 1


MANY_KEYS = {f"key {number}": number for number in range(100_000)}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (NATIVE, {"features": MANY_KEYS}),
        (NATIVE, {"features": [MANY_KEYS]}),
        (NATIVE, MANY_KEYS),
        (V1, {"instances": [{**named([ROW])[0], **MANY_KEYS}]}),
        (V1, {"instances": [MANY_KEYS]}),
        (V1, {"inputs": MANY_KEYS}),
        (V1, {"inputs": {key: [1] for key in MANY_KEYS}}),
        (V1, {"dataframe_split": {"columns": [*MANY_KEYS], "data": [[*MANY_KEYS.values()]]}}),
        (INFER, {"inputs": [MANY_KEYS]}),
        (INFER, {"inputs": [{**tensors([ROW])[0], "parameters": MANY_KEYS}]}),
        (INFER, {"inputs": [{**one, "data": [MANY_KEYS]} for one in tensors([ROW])[:2]]}),
    ],
)
def test_bodies_with_many_keys_are_handled_fast(sender: Sender, path: str, body: object) -> None:
    content = json.dumps(body).encode()
    began = time.perf_counter()

    answer = sender.send(Sent(path, content))

    assert len(answer.content) < 10_000
    assert time.perf_counter() - began < 2 + 10 * len(content) / 2**20

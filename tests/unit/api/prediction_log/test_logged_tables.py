"""The prediction log of models of typed columns: values keep their types from the request to /predictions."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from slipway_api.accounts.models import Role
from slipway_api.prediction_log.journal import (
    HEAD_BYTES,
    Columns,
    FormatError,
    Record,
    decode,
    encode_records,
    marker_of,
    scan,
)
from slipway_api.prediction_log.loading import RejectedRecordsError, SqlLoadingStore
from slipway_api.prediction_log.shipper import REJECTED, Shipper
from slipway_api.serving.served_model import ServedModel
from slipway_core.database import connect
from slipway_core.manifest import label_text
from slipway_core.migrations import upgrade
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.tables import predictions
from support.api import RunningApi, StartApi
from support.bundles import register
from support.journal import Journal, closing, records_in, shipper_of
from support.serving import Serving
from support.typed_models import KINDS, TABLE_NAMES, TABLE_ROWS, TABLE_SIGNATURE, table_files
from support.typed_requests import ENCODINGS, NATIVE, in_json, predicted

ROWS = [list(row) for row in TABLE_ROWS]
# Python's orjson writes integers up to 64 bits only; a column of floats takes larger ones.
HUGE = [value if name != "price" else 10**30 for name, value in zip(TABLE_NAMES, ROWS[0], strict=True)]
LARGE = [value if name != "price" else 1e30 for name, value in zip(TABLE_NAMES, ROWS[0], strict=True)]


@pytest.fixture
def model(tmp_path: Path) -> ServedModel:
    serving = Serving(tmp_path / "cache")
    register(serving.registry, table_files("iris", KINDS["booleans"]), promote=True)
    serving.sync()
    return serving.store.get("iris")


@pytest.fixture
def journal(tmp_path: Path, model: ServedModel) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal", model)
    yield journal
    journal.log.close()


def add(journal: Journal, rows: list[list[Any]]) -> uuid.UUID:
    return journal.add(rows=TABLE_SIGNATURE.rows(rows))


def inputs_of(record: Record) -> Any:
    assert isinstance(record.inputs, bytes)
    return json.loads(record.inputs)


def test_records_of_tables_round_trip(journal: Journal) -> None:
    ids = [add(journal, rows) for rows in (ROWS, [HUGE], ROWS[1:2])]
    journal.log.flush()

    records = journal.records()

    assert [record.id for record in records] == ids
    assert [inputs_of(record) for record in records] == [ROWS, [HUGE], ROWS[1:2]]
    assert [len(record.prediction) for record in records] == [4, 1, 1]
    assert [record.scores.shape for record in records if record.scores is not None] == [(4, 2), (1, 2), (1, 2)]
    assert journal.dropped() == 0


@pytest.mark.parametrize("redacted", [("city", "weight", "odd"), ("*",)])
def test_redacted_values_differ_from_missing_ones(
    tmp_path: Path, model: ServedModel, redacted: tuple[str, ...]
) -> None:
    journal = Journal(tmp_path / "journal", model, redacted=redacted)
    secret = [value if name != "city" else "a secret" for name, value in zip(TABLE_NAMES, ROWS[0], strict=True)]

    add(journal, [secret, ROWS[1]])
    journal.log.close()

    [record] = journal.records()
    hidden = {"redacted": True}
    expected = [
        [hidden if name in redacted or "*" in redacted else value for name, value in zip(TABLE_NAMES, row, strict=True)]
        for row in (secret, ROWS[1])
    ]
    assert inputs_of(record) == expected
    assert b"a secret" not in journal.segments()[0].read_bytes()


def test_tables_are_stored_unchanged(tmp_path: Path, journal: Journal) -> None:
    url = f"sqlite:///{tmp_path / 'slipway.db'}"
    upgrade(url)
    ids = [add(journal, rows) for rows in (ROWS, [HUGE])]
    journal.log.flush()
    with closing(connect(url)) as engine:
        assert shipper_of(journal.folder, engine).ship_once() == 2
        with engine.connect() as connection:
            stored = {row.id: row for row in connection.execute(select(predictions))}

    assert [stored[one].inputs for one in ids] == [ROWS, [HUGE]]
    assert [stored[one].rows for one in ids] == [4, 1]


def test_damaged_frame_loses_its_own_records_only(tmp_path: Path, journal: Journal) -> None:
    ids = []
    for rows in (ROWS, [HUGE], ROWS[2:]):
        ids.append(add(journal, rows))
        journal.log.flush()
    content = bytearray(journal.segments()[0].read_bytes())
    place = content.index(b"1000000000000")
    content[place] ^= 1

    kept = records_in(bytes(content))

    assert [record.id for record in kept] == [ids[0], ids[2]]
    assert [inputs_of(record) for record in kept] == [ROWS, ROWS[2:]]


@pytest.mark.parametrize("sizes", [[], [1], [3, 3], [2, 2, 1]], ids=str)
def test_payload_with_other_sizes_is_rejected(journal: Journal, sizes: list[int]) -> None:
    add(journal, ROWS[:1])
    add(journal, ROWS[1:2])
    journal.log.flush()
    content = journal.segments()[0].read_bytes()
    marker = marker_of(content)
    assert marker is not None
    payload = scan(marker, content[HEAD_BYTES:]).payloads[-1]
    begin, end = 5, 5 + int.from_bytes(payload[1:5], "little")
    meta = json.loads(payload[begin:end]) | {"sizes": sizes}
    changed = json.dumps(meta).encode()

    with pytest.raises(FormatError):
        decode(payload[:1] + len(changed).to_bytes(4, "little") + changed + payload[end:])


def test_inputs_without_an_entry_per_record_are_not_encoded(journal: Journal) -> None:
    add(journal, ROWS[:1])
    journal.log.flush()
    [record] = journal.records()
    columns = Columns(
        bytes(16), [0], bytes(16), [0.0], [1], ["r"], [b"[[1]]", b"[[1]]"], record.prediction, record.scores
    )

    with pytest.raises(FormatError, match="number of inputs"):
        encode_records("iris", "1", "sha256:0", columns)


def test_rejected_table_is_kept_as_json(tmp_path: Path, journal: Journal) -> None:
    class Rejecting(SqlLoadingStore):
        def __init__(self) -> None:
            pass

        def load(self, versions: object, records: object) -> None:
            if records:
                raise RejectedRecordsError("DataError")

    identity = add(journal, [HUGE, ROWS[1]])
    journal.log.close()

    Shipper(journal.folder, Rejecting()).ship_once()

    kept = json.loads((journal.folder / REJECTED / f"{identity}.json").read_bytes())
    assert kept["inputs"] == [HUGE, ROWS[1]]


# Through the API


def stored(api: RunningApi, identity: str) -> Any:
    api.ship()
    answer = api.get(f"/predictions/{identity}", role=Role.USER)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("model", KINDS)
def test_prediction_is_shown_with_its_types(typed_api: RunningApi, model: str) -> None:
    answer = in_json(NATIVE, {"features": [*ROWS, LARGE]}).to(typed_api, model)
    classes = KINDS[model].classes
    given = predicted(answer, classes)

    shown = stored(typed_api, answer.json()["id"])

    assert shown["inputs"] == [*ROWS, LARGE]
    assert [[type(value) for value in row] for row in shown["inputs"]] == [
        [type(value) for value in row] for row in [*ROWS, LARGE]
    ]
    assert shown["features"] == list(TABLE_NAMES)
    assert shown["prediction"] == pytest.approx(given.prediction)
    assert shown.get("label") == (
        None if classes is None else [label_text(classes[int(one)]) for one in given.prediction]
    )
    listed = typed_api.get("/predictions?limit=1", role=Role.USER).json()["predictions"][0]
    assert listed == {key: shown[key] for key in listed}


@pytest.mark.parametrize("model", [name for name, kind in KINDS.items() if kind.classes])
@pytest.mark.parametrize("is_text", [False, True])
def test_feedback_takes_labels_in_their_type_or_as_text(typed_api: RunningApi, model: str, is_text: bool) -> None:
    classes = [label_text(one) if is_text else one for one in KINDS[model].classes or ()]
    answer = in_json(NATIVE, {"features": ROWS}).to(typed_api, model)
    labels = answer.json()["label"]
    typed_api.ship()
    path = f"/predictions/{answer.json()['id']}/feedback"
    given = [
        next(one for one in classes if label_text(one) == labels[0]),
        next(one for one in classes if label_text(one) != labels[1]),
    ]
    texts = [label_text(one) for one in given]

    answers = [
        typed_api.post(path, role=Role.USER, json={"row": row, "label": label}).json()
        for row, label in enumerate(given)
    ]

    assert [(one["label"], one["correct"]) for one in answers] == [(texts[0], True), (texts[1], False)]
    shown = stored(typed_api, answer.json()["id"])["feedback"]
    assert [(one["row"], one["label"], one["correct"]) for one in shown] == [
        (0, texts[0], True),
        (1, texts[1], False),
    ]


@pytest.mark.parametrize(
    ("model", "label", "message"),
    [
        ("booleans", 1, "unknown class; the classes of booleans are false, true"),
        ("booleans", "True", "unknown class; the classes of booleans are false, true"),
        ("integers", True, "unknown class; the classes of integers are 10, 20, -30"),
        ("integers", "10.0", "unknown class; the classes of integers are 10, 20, -30"),
        ("integers", 10.5, "'label' must be text, an integer, true or false, not a number (10.5)"),
        ("texts", ["cheap"], "'label' must be text, an integer, true or false, not a list"),
        ("texts", "x" * 257, "'label' must have at most 256 characters"),
        ("texts", 1, "unknown class; the classes of texts are cheap, fair, dear"),
        ("texts", False, "unknown class; the classes of texts are cheap, fair, dear"),
        ("values", True, "values is a regressor: send the true value as 'value' instead of 'label'"),
    ],
)
def test_feedback_with_another_label_is_rejected(
    typed_api: RunningApi, model: str, label: object, message: str
) -> None:
    identity = in_json(NATIVE, {"features": ROWS[0]}).to(typed_api, model).json()["id"]
    typed_api.ship()

    answer = typed_api.post(f"/predictions/{identity}/feedback", role=Role.USER, json={"label": label})

    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_metrics_have_classes_and_columns_as_text(typed_api: RunningApi) -> None:
    labels = {"model": "booleans", "version": "1"}

    def count(name: str, **more: str) -> float:
        found = typed_api.sample(name, **labels, **more)
        assert found is not None
        return found

    before = {name: count("slipway_predictions_total", **{"class": name}) for name in ("true", "false")}
    outside = count("slipway_prediction_out_of_range_values_total", feature="count")
    rows = [[value if name != "count" else 10**6 for name, value in zip(TABLE_NAMES, row, strict=True)] for row in ROWS]

    answer = in_json(NATIVE, {"features": rows}).to(typed_api, "booleans").json()

    for name in ("true", "false"):
        now = count("slipway_predictions_total", **{"class": name})
        assert now - before[name] == answer["label"].count(name)
    assert count("slipway_prediction_out_of_range_values_total", feature="count") == outside + 4
    assert {one["message"] for one in answer["warnings"] if one["feature"] == "count"} == {
        "1000000 is outside the trained range 0 to 1000"
    }


def test_redacted_value_is_shown_as_an_object(start_api: StartApi) -> None:
    registry = InMemoryRegistry()
    register(registry, table_files("iris", KINDS["texts"]), promote=True)
    api = start_api(registry, redacted_features="city,day")
    answer = ENCODINGS["native objects"](ROWS[1:2]).to(api, "iris")

    [row] = stored(api, answer.json()["id"])["inputs"]

    shown = dict(zip(TABLE_NAMES, row, strict=True))
    assert (shown["city"], shown["day"]) == ({"redacted": True}, {"redacted": True})
    assert (shown["weight"], shown["seen"], shown["color"]) == (None, None, "green")

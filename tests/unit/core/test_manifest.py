"""The manifest: version 1 is converted, and columns, inputs and labels that contradict each other are rejected."""

import json
from typing import Any

import pytest

from slipway_core.bundle import MANIFEST_FILE, digest, parse_manifest
from slipway_core.errors import BundleError
from slipway_core.manifest import Manifest, label_text
from support.bundles import bundle_files, regression_files
from support.typed_models import KINDS, table_files


def manifest_of(files: dict[str, bytes]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files[MANIFEST_FILE])
    return content


MATRIX = manifest_of(bundle_files())
TABLE = manifest_of(table_files("table", KINDS["booleans"]))


def parse(document: object) -> Manifest:
    content = json.dumps(document).encode()
    return parse_manifest(content, digest(content))


def version_1(document: dict[str, Any]) -> dict[str, Any]:
    """Return the first schema's form of a matrix model."""
    columns = [
        {key: value for key, value in column.items() if key not in {"nullable", "missing", "on_unknown"}}
        for column in document["columns"]
    ]
    kept = {key: value for key, value in document.items() if key not in {"columns", "inputs", "decision"}}
    return {
        **kept,
        "schema_version": 1,
        "inputs": [{**column, "shape": [None, 1], "required": True} for column in columns],
        "graph": {"input": document["inputs"][0]["name"], **document["graph"]},
        "preprocessing": "in the graph",
    }


@pytest.mark.parametrize("document", [MATRIX, manifest_of(regression_files())], ids=["classifier", "regressor"])
def test_version_1_equals_its_conversion(document: dict[str, Any]) -> None:
    assert parse(version_1(document)) == parse(document)


@pytest.mark.parametrize("kind", KINDS)
def test_manifest_of_a_table_round_trips(kind: str) -> None:
    manifest = parse(manifest_of(table_files("table", KINDS[kind])))

    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.classes == KINDS[kind].classes
    assert [type(label) for label in manifest.classes or ()] == [type(label) for label in KINDS[kind].classes or ()]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"graph": None}, "graph: "),
        ({"graph": {"label": "label", "scores": "probabilities"}}, "inputs.0.name: "),
        ({"inputs": None}, "columns: "),
        ({"inputs": []}, "columns: "),
        ({"inputs": "x"}, "columns: "),
        ({"graph": 1, "inputs": 1}, "columns: "),
        ({"inputs": [1]}, "columns.0: "),
        ({"inputs": [{"name": "x", "dtype": "string"}]}, "the top: the input 'X' cannot be made of the column 'x'"),
    ],
)
def test_invalid_version_1_is_rejected(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=f"manifest.json is invalid at {words}"):
        parse({**version_1(MATRIX), **changes})


def column(**fields: Any) -> dict[str, Any]:
    return {"name": "x", "dtype": "float32", **fields}


def tensor(**fields: Any) -> dict[str, Any]:
    return {"name": "t", "dtype": "float32", "shape": [1], "column": "x", **fields}


TEXT = column(dtype="string")
DATE = column(dtype="date")
YEAR = tensor(part="year")


@pytest.mark.parametrize(
    ("columns", "inputs", "words"),
    [
        ([column(), column()], [tensor()], "two columns have the same name"),
        ([column()], [tensor(), tensor()], "two inputs have the same name"),
        ([column()], [tensor(column=None, dtype="float64")], "the input 't' cannot be made of the column 'x'"),
        ([column()], [tensor(column=None, shape=[2])], "the input 't' has another width than its columns"),
        ([column()], [tensor(column=None, shape=[1, 1])], "the input 't' has another width than its columns"),
        ([column()], [tensor(column=None, shape=[])], "the input 't' has another width than its columns"),
        ([TEXT], [tensor(column=None)], "the input 't' cannot be made of the column 'x'"),
        ([column()], [tensor(column="y")], "the input 't' names no column"),
        ([column()], [tensor(), tensor(name="u", column=None)], "the input 'u' has another width"),
        ([column(), column(name="y")], [tensor()], "the column 'y' is not part of an input"),
        ([column()], [tensor(shape=[2])], "the input 't' has another width than its columns"),
        ([column()], [tensor(dtype="float64")], "the input 't' cannot be made of the column 'x'"),
        ([column()], [tensor(dtype="uint8")], "the input 't' cannot be made of the column 'x'"),
        ([TEXT], [tensor()], "the input 't' cannot be made of the column 'x'"),
        ([DATE], [tensor(dtype="string")], "the input 't' cannot be made of the column 'x'"),
        ([column(dtype="float64")], [tensor(dtype="int64")], "the input 't' cannot be made of the column 'x'"),
        (
            [column(dtype="int64", nullable=True)],
            [tensor(dtype="int64")],
            "the nullable column 'x' must enter the graph as float32",
        ),
        (
            [column(dtype="bool", nullable=True)],
            [tensor(dtype="bool")],
            "the nullable column 'x' must enter the graph as float32",
        ),
        ([DATE], [tensor()], "the input 't' must name a part of a date if, and only if, it is made of one"),
        ([column()], [YEAR], "the input 't' must name a part of a date if, and only if, it is made of one"),
        ([column(dtype="string", nullable=True)], [tensor()], "the nullable text column 'x' needs `missing`"),
        ([column(dtype="string", missing="")], [tensor()], "the column 'x' has `missing`, which only nullable text"),
        ([column(nullable=True, missing="")], [tensor()], "the column 'x' has `missing`, which only nullable text"),
        ([column(categories=["a"])], [tensor()], "the categories of 'x' do not have its type"),
        ([column(dtype="string", categories=[1])], [tensor()], "the categories of 'x' do not have its type"),
        ([column(dtype="bool", categories=[1])], [tensor()], "the categories of 'x' do not have its type"),
        ([column(dtype="date", categories=["2026-11-21"])], [YEAR], "the categories of 'x' do not have its type"),
        ([column(dtype="int64", categories=[1.5])], [tensor()], "the categories of 'x' must be integers between"),
        ([column(dtype="int64", categories=[2**54])], [tensor()], "the categories of 'x' must be integers between"),
        ([column(dtype="string", categories=["a\0"])], [tensor()], "the categories of 'x' must be text without NUL"),
        ([column(categories=["a", 1])], [tensor()], "columns.0.categories.0: Input should be a valid"),
        ([column(categories=[])], [tensor()], "should have at least 1 item"),
        ([column(on_unknown="pass")], [tensor()], "Input should be 'reject' or 'ignore'"),
        ([DATE], [tensor(part="minute")], "Input should be 'year', 'month', 'day', 'weekday' or 'hour'"),
        ([column()], [tensor(shape=[0])], "Input should be greater than or equal to 1"),
    ],
)
def test_contradictory_columns_and_inputs_are_rejected(columns: list[Any], inputs: list[Any], words: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse({**TABLE, "columns": columns, "inputs": inputs})

    assert words in str(caught.value)


LABELS = {"label": "label", "scores": "probabilities"}
REGRESSOR = {"task": "regression", "classes": None, "graph": {"label": "value"}, "decision": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ["a", "a"]}, "two classes have the same label"),
        ({"classes": [1, "1"]}, "two classes have the same label"),
        ({"classes": [True, "true"]}, "two classes have the same label"),
        ({"classes": [1.5, 2.5]}, "classes.0"),
        ({"classes": []}, "a classifier needs classes and graph.scores"),
        ({"graph": {"label": "label"}}, "a classifier needs classes and graph.scores"),
        ({"classes": ["a", "b", "c"]}, "only a classifier of two classes can have a decision threshold"),
        ({**REGRESSOR, "decision": TABLE["decision"]}, "only a classifier of two classes can have a decision"),
        ({"decision": {"positive_class": 2, "threshold": 0.5}}, "decision.positive_class"),
        ({"decision": {"positive_class": 1, "threshold": 0}}, "decision.threshold"),
        ({"decision": {"positive_class": 1, "threshold": 1}}, "decision.threshold"),
        ({"decision": {"positive_class": 1}}, "decision.threshold"),
        ({"graph": {**LABELS, "labels": ["a"]}}, "graph.labels needs a different value for each class"),
        ({"graph": {**LABELS, "labels": ["a", "a"]}}, "graph.labels needs a different value for each class"),
        ({"graph": {**LABELS, "labels": ["a", 1]}}, "graph.labels must be all text or all integers"),
        ({**REGRESSOR, "classes": [1, 2]}, "a regressor has no classes, graph.scores and graph.labels"),
        ({**REGRESSOR, "graph": LABELS}, "a regressor has no classes, graph.scores and graph.labels"),
    ],
)
def test_contradictory_classes_are_rejected(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse({**TABLE, **changes})

    assert words in str(caught.value)


@pytest.mark.parametrize(("label", "text"), [("a", "a"), (-7, "-7"), (True, "true"), (False, "false")])
def test_labels_are_shown_as_json_has_them(label: str | int, text: str) -> None:
    assert label_text(label) == text

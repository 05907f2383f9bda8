"""Bundles: complete ones are read, and damaged ones are rejected with a reason."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from slipway_core.bundle import (
    MANIFEST_FILE,
    REFERENCE_FILE,
    Golden,
    GoldenOutputs,
    data_version,
    digest,
    is_digest,
    parse_manifest,
    read_bundle,
)
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.errors import BundleError
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE, manifest_json_schema
from support.bundles import bundle_files, regression_files

ONE, TWO = digest(b"one"), digest(b"two")

# The documented example.
EXAMPLE: dict[str, Any] = {
    "schema_version": 2,
    "name": "iris",
    "task": "classification",
    "columns": [
        {
            "name": "sepal length (cm)",
            "dtype": "float32",
            "nullable": False,
            "missing": None,
            "categories": None,
            "on_unknown": "reject",
            "min": 4.3,
            "max": 7.9,
            "unit": "cm",
            "description": "Length of the sepal.",
        }
    ],
    "inputs": [{"name": "X", "dtype": "float32", "shape": [1], "column": None, "part": None}],
    "graph": {"label": "label", "scores": "probabilities"},
    "classes": ["setosa", "versicolor", "virginica"],
    "decision": None,
    "metrics": {"accuracy": 0.97},
    "data": {"version": ONE, "rows": 150, "split": "stratified"},
    "recipe": "iris",
    "git_commit": "0d4a3e9b0d4a3e9b0d4a3e9b0d4a3e9b0d4a3e9b",
    "libraries": {"scikit-learn": "1.9.1"},
    "created_at": "2026-11-20T12:00:00Z",
    "digests": {MODEL_FILE: ONE, GOLDEN_FILE: TWO, REFERENCE_FILE: ONE},
}

GOLDEN: dict[str, Any] = {
    "rows": [[5.1, 3.5, 1.4, 0.2]],
    "outputs": {"prediction": [0], "scores": [[0.9, 0.1, 0.0]]},
    "rtol": 1e-5,
    "atol": 1e-5,
}


def write(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return digest(files[MANIFEST_FILE])


def changed(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> bytes:
    """Return a document as JSON with one place in it set to a value."""
    copy: Any = json.loads(json.dumps(document))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(copy).encode()


def without(document: dict[str, Any], key: str) -> bytes:
    return json.dumps({name: value for name, value in document.items() if name != key}).encode()


def parse(content: bytes) -> None:
    parse_manifest(content, digest(content))


def write_with_golden(folder: Path, golden: bytes) -> str:
    """Write a bundle with these golden rows and correct digests."""
    files = bundle_files()
    manifest = json.loads(files[MANIFEST_FILE])
    files[GOLDEN_FILE] = golden
    files[MANIFEST_FILE] = changed(manifest, ("digests", GOLDEN_FILE), digest(golden))
    return write(folder, files)


# Accepted bundles


def test_complete_bundle_is_read(tmp_path: Path) -> None:
    files = bundle_files()
    expected = write(tmp_path, files)

    bundle = read_bundle(tmp_path, expected)

    assert bundle.manifest.name == "iris"
    assert bundle.manifest_sha256 == expected
    assert bundle.model == files[MODEL_FILE]
    assert len(bundle.golden.rows) == len(bundle.golden.outputs.prediction) == 3


def test_bundle_of_a_regressor_has_no_classes_or_scores(tmp_path: Path) -> None:
    bundle = read_bundle(tmp_path, write(tmp_path, regression_files()))

    assert bundle.manifest.classes is None
    assert bundle.golden.outputs.scores is None


def test_golden_integers_are_read_exactly(tmp_path: Path) -> None:
    rows = ((2**63 - 1, 0.5), (2**53 + 1, 2.0))
    golden = Golden(rows=((1.0, 0.5), (3.0, 2.0)), outputs=GoldenOutputs(prediction=(0, 0)), rtol=0, atol=0)
    columns = [InputColumn(name="x", dtype="int64"), InputColumn(name="y", dtype="float32")]
    inputs = [
        GraphInput(name="x", dtype="int64", shape=(1,), column="x"),
        GraphInput(name="y", dtype="float32", shape=(1,), column="y"),
    ]
    files = bundle_files(golden=golden.model_copy(update={"rows": rows}), columns=columns, inputs=inputs)

    found = read_bundle(tmp_path, write(tmp_path, files)).golden.rows

    assert found == rows
    assert type(found[0][0]) is int


def test_serving_needs_no_reference_rows(tmp_path: Path) -> None:
    files = bundle_files()
    del files[REFERENCE_FILE]

    assert read_bundle(tmp_path, write(tmp_path, files)).manifest.name == "iris"


def test_documented_example_is_a_manifest() -> None:
    content = json.dumps(EXAMPLE).encode()

    manifest = parse_manifest(content, digest(content))

    assert manifest.model_dump(mode="json") == EXAMPLE


@pytest.mark.parametrize("key", ["classes", "decision", "git_commit", "libraries"])
def test_optional_fields_may_be_left_out(key: str) -> None:
    regressor = {**EXAMPLE, "task": "regression", "graph": {"label": "value"}, "classes": None}

    parse(without(regressor, key))


def test_json_schema_describes_every_field() -> None:
    schema = json.loads(manifest_json_schema())
    assert manifest_json_schema().endswith("}\n")

    assert schema["properties"].keys() == EXAMPLE.keys()
    assert schema["$defs"]["InputColumn"]["properties"].keys() == EXAMPLE["columns"][0].keys()
    assert schema["$defs"]["GraphInput"]["properties"].keys() == EXAMPLE["inputs"][0].keys()
    undescribed = [
        f"{name}.{field}"
        for name, part in schema["$defs"].items()
        for field, told in part["properties"].items()
        if "description" not in told
    ]
    assert undescribed == []


# Wrong digests


@pytest.mark.parametrize("name", [MODEL_FILE, GOLDEN_FILE])
def test_changed_file_is_rejected_by_its_digest(tmp_path: Path, name: str) -> None:
    expected = write(tmp_path, bundle_files())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")

    with pytest.raises(BundleError, match=rf"{name} has the digest sha256:.*the manifest says"):
        read_bundle(tmp_path, expected)


def test_changed_manifest_is_rejected_by_the_version_digest(tmp_path: Path) -> None:
    expected = write(tmp_path, bundle_files())
    (tmp_path / MANIFEST_FILE).write_bytes(bundle_files(metrics={"accuracy": 1.0})[MANIFEST_FILE])

    with pytest.raises(BundleError, match=rf"manifest.json has the digest .* but the model version says {expected}"):
        read_bundle(tmp_path, expected)


# Unreadable files


@pytest.mark.parametrize("name", [MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE])
def test_missing_file_is_reported(tmp_path: Path, name: str) -> None:
    expected = write(tmp_path, bundle_files())
    (tmp_path / name).unlink()

    with pytest.raises(BundleError) as caught:
        read_bundle(tmp_path, expected)

    assert str(caught.value) == f"the bundle has no {name}: train again, or promote another version"


def test_unreadable_file_is_reported_without_its_path(tmp_path: Path) -> None:
    expected = write(tmp_path, bundle_files())
    (tmp_path / MODEL_FILE).unlink()
    (tmp_path / MODEL_FILE).mkdir()

    with pytest.raises(BundleError) as caught:
        read_bundle(tmp_path, expected)

    assert str(caught.value) == f"model.onnx cannot be read: {os.strerror(errno.EISDIR)}"


# Invalid manifests


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "at the top: Invalid JSON"),
        (b"\xff\xfe", "at the top: Invalid JSON"),
        (b"[" * 10_000, "at the top: Invalid JSON"),
        (b"[]", "at the top: "),
        (without(EXAMPLE, "schema_version"), "at schema_version: Field required"),
        (changed(EXAMPLE, ("schema_version",), 3), "at schema_version: Input should be 2"),
        (changed(EXAMPLE, ("surprise",), 1), "at surprise: Extra inputs are not permitted"),
        (changed(EXAMPLE, ("task",), "clustering"), "at task: Input should be 'classification'"),
        (changed(EXAMPLE, ("name",), ""), "at name: "),
        (changed(EXAMPLE, ("columns",), []), "at columns: "),
        (changed(EXAMPLE, ("inputs",), []), "at inputs: "),
        (changed(EXAMPLE, ("columns", 0, "dtype"), "complex"), "at columns.0.dtype: Input should be 'float32'"),
        (changed(EXAMPLE, ("columns", 0, "colour"), "red"), "at columns.0.colour: Extra inputs"),
        (changed(EXAMPLE, ("data", "rows"), -1), "at data.rows: "),
        (changed(EXAMPLE, ("created_at",), "2026-11-20T12:00:00"), "at created_at: .*timezone"),
        (changed(EXAMPLE, ("digests", MODEL_FILE), ONE.upper()), "at digests.model.onnx: String should match"),
        (changed(EXAMPLE, ("digests", MODEL_FILE), ONE.removeprefix("sha256:")), "at digests.model.onnx: "),
        (changed(EXAMPLE, ("digests",), {MODEL_FILE: ONE}), "at the top: .*digests lack golden.json"),
        (changed(EXAMPLE, ("digests",), {}), "at the top: .*digests lack model.onnx, golden.json"),
        (changed(EXAMPLE, ("columns",), EXAMPLE["columns"] * 2), "at the top: .*two columns have the same name"),
        (changed(EXAMPLE, ("classes",), None), "at the top: .*a classifier needs classes and graph.scores"),
        (changed(EXAMPLE, ("graph", "scores"), None), "at the top: .*a classifier needs classes and graph.scores"),
    ],
)
def test_invalid_manifest_is_rejected_with_the_location(content: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=rf"^manifest.json is invalid {words}"):
        parse(content)


def test_rejection_contains_no_value() -> None:
    with pytest.raises(BundleError) as caught:
        parse(changed(EXAMPLE, ("task",), "hunter2"))

    assert "hunter2" not in str(caught.value)


def test_custom_rule_is_reported_without_pydantic_prefix() -> None:
    with pytest.raises(BundleError) as caught:
        parse(changed(EXAMPLE, ("digests",), {MODEL_FILE: ONE}))

    assert str(caught.value) == "manifest.json is invalid at the top: digests lack golden.json"


# Invalid golden rows


@pytest.mark.parametrize(
    ("golden", "words"),
    [
        (b"not JSON", "is invalid at the top: Invalid JSON"),
        (changed(GOLDEN, ("rows",), []), "is invalid at rows: "),
        (changed(GOLDEN, ("rtol",), -1), "is invalid at rtol: "),
        (changed(GOLDEN, ("atol",), -1), "is invalid at atol: "),
        (changed(GOLDEN, ("rtol",), 1000), "is invalid at rtol: "),
        (changed(GOLDEN, ("atol",), 1000), "is invalid .*atol is 1000, the allowed maximum is 0.01"),
        (changed(GOLDEN, ("atol",), float("inf")), "is invalid at atol: "),
        (changed(GOLDEN, ("rtol",), float("nan")), "is invalid at rtol: "),
        (changed(GOLDEN, ("rows", 0, 1), []), r"is invalid at rows\.0\.1: "),
        (changed(GOLDEN, ("outputs", "prediction"), []), "is invalid .*the numbers of rows and outputs differ"),
        (changed(GOLDEN, ("outputs", "scores"), []), "is invalid .*the numbers of rows and outputs differ"),
        (changed(GOLDEN, ("rows", 0), [1.0]), "has rows without the manifest's 4 columns"),
    ],
)
def test_invalid_golden_rows_are_rejected(tmp_path: Path, golden: bytes, words: str) -> None:
    expected = write_with_golden(tmp_path, golden)

    with pytest.raises(BundleError, match=rf"^golden.json {words}"):
        read_bundle(tmp_path, expected)


# Digests


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ONE, True),
        (f"{ONE}\n", False),
        (f" {ONE}", False),
        (ONE[:-1], False),
        (ONE + "0", False),
        (ONE.upper(), False),
        (ONE.removeprefix("sha256:"), False),
        ("sha256:" + "g" * 64, False),
        ("", False),
    ],
)
def test_only_sha256_in_hexadecimal_is_a_digest(text: str, expected: bool) -> None:
    assert is_digest(text) is expected


def test_digest_is_sha256() -> None:
    # The SHA-256 of nothing, from FIPS 180-4's examples.
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_data_version_is_the_digest_of_sorted_file_digests() -> None:
    one, two = ONE.removeprefix("sha256:"), TWO.removeprefix("sha256:")
    expected = digest(f"a.csv {one}\nsub/b.csv {two}\n".encode())

    assert data_version({"sub/b.csv": TWO, "a.csv": ONE}) == expected
    assert data_version({"a.csv": one, "sub/b.csv": two}) == expected


@pytest.mark.parametrize(
    "other",
    [{"b.csv": ONE}, {"a.csv": TWO}, {"a.csv": ONE, "b.csv": ONE}, {}],
    ids=["renamed", "changed", "one more", "none"],
)
def test_other_data_has_another_version(other: dict[str, str]) -> None:
    assert data_version(other) != data_version({"a.csv": ONE})


def test_infinite_outputs_do_not_widen_the_tolerance() -> None:
    with pytest.raises(ValueError, match="atol is 1000"):
        Golden(rows=((1.0,), (2.0,)), outputs=GoldenOutputs(prediction=(float("inf"), 1.0)), rtol=0, atol=1000)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("classes", 0), "x" * 257),
        (("columns", 0, "name"), "x" * 257),
        (("columns", 0, "unit"), "x" * 257),
        (("recipe",), "x" * 257),
        (("libraries", "a"), "x" * 257),
        (("classes",), ["x"] * 10_001),
        (("metrics",), {str(index): 0.5 for index in range(1_001)}),
    ],
)
def test_manifest_rejects_long_names_and_lists(path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(BundleError, match="at most"):
        parse(changed(EXAMPLE, path, value))

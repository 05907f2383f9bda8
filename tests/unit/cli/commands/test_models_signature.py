"""The features and classes that `slipway models show` prints."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from slipway_cli.cli import main
from slipway_cli.signature_table import SHOWN_COLUMNS
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, digest
from support.bundles import bundle_files, regression_files
from support.command import run
from support.stub_api import Answer, Asked, StubApi, problem, stub_api

COLUMNS: list[dict[str, Any]] = [
    {"name": "island", "dtype": "string", "categories": ["Biscoe", "Dream"], "description": "where it [lives]"},
    {"name": "note", "dtype": "string", "nullable": True, "missing": ""},
    {"name": "bill", "dtype": "float32", "nullable": True, "min": 32.1, "max": 59.6, "unit": "mm"},
    {"name": "rings", "dtype": "int64", "min": 1},
    {"name": "grade", "dtype": "int64", "categories": [1.0, 2.0], "on_unknown": "ignore"},
    {"name": "mass", "dtype": "float64", "max": 6300, "unit": "g"},
    {"name": "depth", "dtype": "float32", "unit": "m"},
    {"name": "seen", "dtype": "date"},
]
DTYPES = {"string": "string", "date": "float32"}


def tabular(columns: list[dict[str, Any]], **changes: Any) -> bytes:
    """Return the manifest of a model with these columns."""
    inputs = []
    for column in columns:
        part = {"part": "year"} if column["dtype"] == "date" else {}
        dtype = DTYPES.get(column["dtype"], column["dtype"])
        inputs.append({"name": column["name"], "dtype": dtype, "shape": (1,), "column": column["name"], **part})
    return bundle_files("penguins", columns=columns, inputs=inputs, **changes)[MANIFEST_FILE]


def registry_of(manifest: bytes | Answer, *, production: str = "1", sha256: str | None = None) -> Any:
    """Return an MLflow server with versions 2 and 1 of a model, which have this manifest."""
    content = manifest if isinstance(manifest, Answer) else Answer(manifest)
    tags = [{"key": MANIFEST_TAG, "value": sha256 or digest(manifest if isinstance(manifest, bytes) else b"")}]
    fields = {"name": "penguins", "run_id": "r1", "creation_timestamp": 1_800_000_000_000, "tags": tags}
    answers = {
        "registered-models/get": {
            "registered_model": {"name": "penguins", "aliases": [{"alias": "Production", "version": production}]}
        },
        "model-versions/search": {"model_versions": [{**fields, "version": "2"}, {**fields, "version": "1"}]},
    }

    def answer(asked: Asked) -> Answer:
        call = asked.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        return content if call.endswith("get-artifact") else Answer(answers.get(call, {}))

    return answer


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    """A registry at the address in MLFLOW_TRACKING_URI."""
    with stub_api(lambda _asked: Answer({})) as stub:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stub.url)
        yield stub


def shown_rows(output: str) -> list[list[str]]:
    """Return the cells of each feature's row: those of the lines after the title."""
    lines = output.partition("Features of version")[2].splitlines()
    rows = [[cell.strip() for cell in line.strip().split("  ") if cell.strip()] for line in lines]
    return [row for row in rows if row and row[0] in {column["name"] for column in COLUMNS}]


def test_features_are_shown_with_types_and_values(registry: StubApi) -> None:
    registry.answer = registry_of(tabular(COLUMNS))

    ended = run(main, "models", "show", "penguins")

    assert "Features of version 1, in their order" in ended.output
    assert shown_rows(ended.output) == [
        ["island", "string", "no", "'Biscoe', 'Dream'", "where it [lives]"],
        ["note", "string", "yes", "–"],
        ["bill", "float32", "yes", "32.1 to 59.6 mm"],
        ["rings", "int64", "no", "from 1"],
        ["grade", "int64", "no", "1, 2; others are passed on"],
        ["mass", "float64", "no", "up to 6300 g"],
        ["depth", "float32", "no", "m"],
        ["seen", "date", "no", "–"],
    ]


@pytest.mark.parametrize(
    ("classes", "decision", "lines"),
    [
        (("Adelie", "Gentoo", "Chinstrap"), None, ["Classes: 'Adelie', 'Gentoo', 'Chinstrap'"]),
        ((3, 7), None, ["Classes: 3, 7"]),
        (
            (False, True),
            {"positive_class": 1, "threshold": 0.25},
            ["Classes: false, true", "Predicts true from the probability 0.25 on"],
        ),
        (tuple(map(str, range(30))), None, ["'10', '11', … (30 values)"]),
    ],
)
def test_classes_are_shown_with_their_threshold(
    registry: StubApi, classes: tuple[object, ...], decision: dict[str, object] | None, lines: list[str]
) -> None:
    registry.answer = registry_of(tabular(COLUMNS, classes=classes, decision=decision))

    ended = run(main, "models", "show", "penguins")

    assert [line for line in lines if line not in ended.output] == []
    assert ("Predicts" in ended.output) == (decision is not None)


def test_regressor_has_no_classes(registry: StubApi) -> None:
    registry.answer = registry_of(regression_files()[MANIFEST_FILE])

    ended = run(main, "models", "show", "penguins")

    assert "sepal length (cm)" in ended.output
    assert "Classes" not in ended.output


def test_signature_is_part_of_the_json(registry: StubApi) -> None:
    registry.answer = registry_of(tabular(COLUMNS, classes=(False, True)))

    signature = json.loads(run(main, "models", "show", "penguins", "--json").output)["signature"]

    assert signature.keys() == {"version", "inputs", "classes", "decision"}
    assert (signature["version"], signature["classes"], signature["decision"]) == ("1", [False, True], None)
    assert [
        {key: found[key] for key in column} for found, column in zip(signature["inputs"], COLUMNS, strict=True)
    ] == (COLUMNS)


def test_newest_version_is_shown_without_production(registry: StubApi) -> None:
    registry.answer = registry_of(tabular(COLUMNS), production="9")

    assert "Features of version 2" in run(main, "models", "show", "penguins").output


def test_only_the_first_of_many_features_are_shown(registry: StubApi) -> None:
    columns = [{"name": f"x{index}", "dtype": "float32"} for index in range(SHOWN_COLUMNS + 3)]
    registry.answer = registry_of(tabular(columns))

    output = run(main, "models", "show", "penguins").output

    assert (f"x{SHOWN_COLUMNS - 1} " in output, f"x{SHOWN_COLUMNS} " in output) == (True, False)
    assert "3 more features: see --json" in output


@pytest.mark.parametrize(
    ("answer", "sha256"),
    [
        pytest.param(problem(404, "no artifact"), "sha256:" + "0" * 64, id="missing"),
        pytest.param(Answer(b"{}"), "sha256:" + "0" * 64, id="changed"),
        pytest.param(Answer(b"{}"), digest(b"{}"), id="invalid"),
    ],
)
def test_unreadable_manifest_does_not_hide_the_versions(registry: StubApi, answer: Answer, sha256: str) -> None:
    registry.answer = registry_of(answer, sha256=sha256)

    ended = run(main, "models", "show", "penguins")
    in_json = json.loads(run(main, "models", "show", "penguins", "--json").output)

    assert ended.exit_code == 0
    assert "Production is 1" in ended.output
    assert ended.error.startswith("Note: the features of version 1 cannot be read: ")
    assert (in_json["signature"], len(in_json["versions"])) == (None, 2)

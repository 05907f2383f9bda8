"""Categories of a feature: every protocol rejects other values, and the metadata lists them."""

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from slipway_api.accounts.models import Role
from slipway_core.columns import InputColumn
from slipway_core.feature_values import MAX_PROBLEMS
from slipway_core.registry.memory import InMemoryRegistry
from support.api import Database, RunningApi, running_api
from support.bundles import FEATURES, bundle_files, register

LAST = FEATURES[-1]
CODES = (0.2, 1.3, 2.3)  # none is exact in binary: JSON's float64 and float32 differ
GOOD, BAD = [5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 9.0]
SENTENCE = f"{LAST!r} must be one of 0.2, 1.3, 2.3, not 9"


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[RunningApi]:
    """Run an app whose model has categories in its last feature."""
    registry = InMemoryRegistry()
    inputs = [
        InputColumn(name=name, dtype="float32", min=0, max=8, categories=CODES if name == LAST else None)
        for name in FEATURES
    ]
    register(registry, bundle_files(columns=inputs), promote=True)
    with running_api(tmp_path_factory.mktemp("coded"), registry, database) as api:
        yield api


def tensor(name: str, rows: list[list[float]], *, binary: bool = False, datatype: str = "FP32") -> dict[str, object]:
    values = np.array(rows, dtype=np.float32)
    described: dict[str, object] = {"name": name, "shape": values.shape, "datatype": datatype}
    if binary:
        return {**described, "parameters": {"binary_data_size": values.nbytes}}
    return {**described, "data": values.reshape(-1).tolist()}


def send(api: RunningApi, protocol: str, rows: list[list[float]]) -> httpx.Response:
    """Send rows by one of the protocols."""
    named = [dict(zip(FEATURES, row, strict=True)) for row in rows]
    columns = {name: [row[name] for row in named] for name in FEATURES}
    text = "".join(f"{','.join(map(str, row))}\n" for row in rows)
    infer = "/v2/models/iris/infer"
    if protocol == "binary tensor":
        head = json.dumps({"inputs": [tensor("X", rows, binary=True)]}).encode()
        length = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        content = head + np.array(rows, dtype="<f4").tobytes()
        return api.post(infer, role=Role.USER, content=content, headers=length)
    if protocol.startswith("CSV"):
        header = f"{','.join(FEATURES)}\n" if protocol.endswith("header") else ""
        return api.post("/invocations", role=Role.USER, content=header + text, headers={"Content-Type": "text/csv"})
    path, body = {
        "native": ("/predict", {"features": rows}),
        "native by name": ("/models/iris/predict", {"features": named}),
        "tensor": (infer, {"inputs": [tensor("X", rows)]}),
        "tensors": (infer, {"inputs": [tensor(n, [[v] for v in columns[n]], datatype="FP32") for n in FEATURES]}),
        "instances": ("/invocations", {"instances": rows}),
        "inputs": ("/invocations", {"inputs": columns}),
        "split": ("/invocations", {"dataframe_split": {"columns": FEATURES, "data": rows}}),
        "records": ("/invocations", {"dataframe_records": named}),
    }[protocol]
    return api.post(path, role=Role.USER, json=body)


PROTOCOLS = pytest.mark.parametrize(
    "protocol",
    [
        *("native", "native by name", "tensor", "tensors", "binary tensor"),
        *("instances", "inputs", "split", "records", "CSV", "CSV with a header"),
    ],
)


@PROTOCOLS
@pytest.mark.parametrize("rows", [[BAD], [GOOD, BAD], [GOOD] * 40 + [BAD]], ids=["one row", "second row", "last row"])
def test_unknown_category_returns_422(coded: RunningApi, protocol: str, rows: list[list[float]]) -> None:
    answer = send(coded, protocol, rows)

    assert answer.status_code == 422
    assert SENTENCE in answer.text
    if not protocol.startswith(("tensor", "binary")):
        (error,) = answer.json()["errors"]
        assert {len(rows) - 1, LAST} <= set(error["loc"])


@PROTOCOLS
def test_known_category_is_accepted(coded: RunningApi, protocol: str) -> None:
    rows = [[5.1, 3.5, 1.4, code] for code in CODES]

    assert send(coded, protocol, rows).status_code == 200
    assert send(coded, protocol, rows[:1]).status_code == 200


@pytest.mark.parametrize("protocol", ["native", "tensor"])
def test_many_wrong_values_get_a_bounded_error(coded: RunningApi, protocol: str) -> None:
    answer = send(coded, protocol, [BAD] * 500)

    assert answer.status_code == 422
    assert answer.text.count(SENTENCE) <= 2 * MAX_PROBLEMS  # in the detail and in the errors
    assert len(answer.content) < 10_000


def test_signature_includes_the_categories(coded: RunningApi) -> None:
    inputs = coded.get("/models/iris", role=Role.USER).json()["signature"]["inputs"]

    assert [column["categories"] for column in inputs] == [None, None, None, list(CODES)]

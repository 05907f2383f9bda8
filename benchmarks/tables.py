"""Compare a prediction of a table of 12 typed columns with one of a matrix of 12 columns, one row per request.

Both models run in one process without a network, and take turns, because the machine's speed varies. Tokens,
validation, metrics and the prediction log are enabled. `make bench` runs this.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.servers import report
from onnx import NodeProto, TensorProto, helper, numpy_helper

from slipway_api.accounts.models import Role
from slipway_core.bundle import Golden, GoldenOutputs
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.graph import Graph
from slipway_core.manifest import GraphNames
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.signature import Signature
from slipway_core.table_signature import AnySignature, TableSignature
from support.api import RunningApi, make_database, running_api
from support.bundles import bundle_files, register

# The log encodes the records of so many requests at once.
BATCH = 16
NAMES = GraphNames(label="label", scores="probabilities")
WORDS = ("north", "east", "south", "west", "up", "down")
TEXTS, FLOATS, INTEGERS = ("region", "color", "size", "kind"), ("a", "b", "c", "d"), ("count", "visits")
TABLE_ROW = ["north", "east", "up", "down", 0.5, 12.25, None, 3.75, 12, 7, True, "2026-11-21"]
MATRIX_ROW = [0.5, 12.25, 1.5, 3.75, 12.0, 7.0, 1.0, 2.0, 3.0, 4.0, 5.5, 6.25]
TABLE = (
    *(InputColumn(name=name, dtype="string", categories=WORDS) for name in TEXTS),
    *(InputColumn(name=name, dtype="float32", nullable=True, min=0.0, max=100.0) for name in FLOATS),
    *(InputColumn(name=name, dtype="int64", min=0, max=100) for name in INTEGERS),
    InputColumn(name="member", dtype="bool"),
    InputColumn(name="day", dtype="date"),
)
MATRIX = tuple(InputColumn(name=f"x{index}", dtype="float32", min=0.0, max=100.0) for index in range(12))
TYPES = {"string": TensorProto.STRING, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}


def table_inputs() -> list[GraphInput]:
    """Return an input per column; the date enters as its month and weekday."""
    plain = [
        GraphInput(name=column.name, dtype=column.dtype, shape=(1,), column=column.name)
        for column in TABLE
        if column.dtype != "date"
    ]
    parts = [
        GraphInput(name=f"day_{part}", dtype="float32", shape=(1,), column="day", part=part)
        for part in ("month", "weekday")
    ]
    return [*plain, *parts]


def graph_of(inputs: list[GraphInput], width: int) -> bytes:
    """Return a logistic regression of three classes: text in one-hot encoding, gaps filled, all columns scaled."""
    nodes: list[NodeProto] = []
    for tensor in inputs:
        if tensor.dtype == "string":
            encode: dict[str, Any] = {"cats_strings": WORDS, "zeros": 1}
            nodes.append(helper.make_node("OneHotEncoder", [tensor.name], ["3d"], domain="ai.onnx.ml", **encode))
            nodes[-1].output[0] = f"{tensor.name}_3d"
            nodes.append(helper.make_node("Squeeze", [f"{tensor.name}_3d", "axis"], [f"{tensor.name}_n"]))
        else:
            nodes.append(helper.make_node("Cast", [tensor.name], [f"{tensor.name}_n"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Concat", [f"{tensor.name}_n" for tensor in inputs], ["joined"], axis=1))
    nodes.append(helper.make_node("IsNaN", ["joined"], ["gaps"]))
    nodes.append(helper.make_node("Where", ["gaps", "mean", "joined"], ["filled"]))
    nodes.append(helper.make_node("Div", ["filled", "scale"], ["scaled"]))
    nodes.append(helper.make_node("MatMul", ["scaled", "W"], ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0))
    constants = {
        "W": np.random.default_rng(0).normal(size=(width, 3)).astype(np.float32),
        "scale": np.full((1, width), 100, dtype=np.float32),
        "mean": np.full((1, width), 50, dtype=np.float32),
        "axis": np.array([1]),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(one.name, TYPES.get(one.dtype, TensorProto.FLOAT), [None, *one.shape])
            for one in inputs
        ],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 3]),
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def files_of(name: str, columns: tuple[InputColumn, ...], inputs: list[GraphInput], row: list[Any]) -> dict[str, bytes]:
    """Return the files of a bundle."""
    is_table = inputs[0].column is not None
    signature: AnySignature = TableSignature(columns, inputs) if is_table else Signature(columns)
    model = graph_of(inputs, len(WORDS) * len(TEXTS) + 9 if is_table else len(columns))
    outputs = Graph(model, NAMES).run(signature.rows([row]))
    assert outputs.scores is not None  # noqa: S101
    expected = GoldenOutputs(prediction=outputs.prediction.tolist(), scores=outputs.scores.tolist())
    golden = Golden(rows=[row], outputs=expected, rtol=1e-5, atol=1e-5)
    return bundle_files(name, model, golden, columns=columns, inputs=inputs)


async def seconds_per_request(api: RunningApi, path: str, body: bytes, token: str, count: int) -> float:
    """Send requests one after another; return the mean CPU time of each, including that of the log's thread."""
    headers = [
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    statuses: set[int] = set()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401
        if "status" in message:
            statuses.add(message["status"])

    fixed = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    fixed |= {"http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("slipway", 80)}
    began = time.process_time()
    for number in range(count):
        await api.gateway({**fixed, "headers": headers, "state": {}}, receive, send)
        if number % BATCH == 0:
            await asyncio.sleep(0)
    taken = (time.process_time() - began) / count
    if statuses != {200}:
        raise SystemExit(f"some requests failed: {statuses}")
    return taken


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="number of rounds")
    parser.add_argument("--count", type=int, default=200, help="requests per turn")
    given = parser.parse_args()
    registry = InMemoryRegistry()
    matrix_input = [GraphInput(name="X", dtype="float32", shape=(12,))]
    register(registry, files_of("table", TABLE, table_inputs(), TABLE_ROW), "table", promote=True)
    register(registry, files_of("matrix", MATRIX, matrix_input, MATRIX_ROW), "matrix", promote=True)
    bodies = {
        name: json.dumps({"features": dict(zip([column.name for column in columns], row, strict=True))}).encode()
        for name, columns, row in (("table", TABLE, TABLE_ROW), ("matrix", MATRIX, MATRIX_ROW))
    }
    times: dict[str, list[float]] = {name: [] for name in bodies}
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        database = make_database(Path(folder) / "template.db")
        options: dict[str, Any] = {"default_model": "table", "registry_poll_seconds": 3_600}
        with running_api(Path(folder) / "api", registry, database, **options) as api:
            token = api.token(Role.USER)
            for turn in range(given.rounds + 2):
                for name, body in bodies.items():
                    path = f"/models/{name}/predict"
                    taken = api.portal.call(seconds_per_request, api, path, body, token, given.count)
                    if turn > 1:  # the first turns warm up
                        times[name].append(taken)
    for name, found in times.items():
        report(f"{name}: CPU per request, median of the rounds", statistics.median(found) * 1e6, "µs")
    ratios = [table / matrix for table, matrix in zip(times["table"], times["matrix"], strict=True)]
    report("table relative to the matrix, median of the rounds", statistics.median(ratios), "")


if __name__ == "__main__":
    main()

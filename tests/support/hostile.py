"""Graphs and registry servers that misbehave: they never end, use up memory, or send endless responses."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from onnx import NodeProto, TensorProto, helper

from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.mlflow import API, ARTIFACT_PATHS
from support.bundles import bundle_files, golden_of, linear_classifier, linear_classifier_after

FILES = {path: file for file, path in ARTIFACT_PATHS.items()}
DRIP_SECONDS = 0.02


def _classifier(nodes: Sequence[NodeProto], **constants: np.ndarray) -> bytes:
    """Return a linear classifier after nodes that compute the scalar `zero` from `sum`."""
    total = helper.make_node("ReduceSum", ["X"], ["sum"], keepdims=0)
    return linear_classifier_after([total, *nodes], {"nought": np.array(0, dtype=np.float32), **constants})


def endless_loop() -> bytes:
    """Return a classifier with a `Loop` whose condition stays true."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Identity", ["value"], ["same_value"])],
        "body",
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("same_value", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["", "true", "sum"], ["looped"], body=body),
        helper.make_node("Mul", ["looped", "nought"], ["zero"]),
    ]
    return _classifier(nodes, true=np.array(True))


def _reduced(*nodes: NodeProto, **constants: np.ndarray) -> bytes:
    reduced = helper.make_node("ReduceMax", ["large"], ["largest"], keepdims=0)
    return _classifier([*nodes, reduced, helper.make_node("Mul", ["largest", "nought"], ["zero"])], **constants)


def expanding(elements: int = 2**29) -> bytes:
    """Return a classifier that allocates 4 bytes for each element: by default 2 GiB."""
    return _reduced(helper.make_node("Expand", ["sum", "shape"], ["large"]), shape=np.array([elements]))


def filling(elements: int = 2**29) -> bytes:
    """Return a classifier that allocates with `ConstantOfShape`, with a size that depends on its input."""
    return _reduced(
        helper.make_node("Mul", ["sum", "nought"], ["none"]),
        helper.make_node("Cast", ["none"], ["none_whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["size", "none_whole"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        size=np.array([elements]),
    )


def tiling(elements: int = 2**29) -> bytes:
    """Return a classifier that allocates with `Tile`."""
    return _reduced(
        helper.make_node("Reshape", ["sum", "one"], ["single"]),
        helper.make_node("Tile", ["single", "times"], ["large"]),
        one=np.array([1]),
        times=np.array([elements]),
    )


def ranging(elements: int = 2**29) -> bytes:
    """Return a classifier that allocates with `Range`."""
    return _reduced(
        helper.make_node("Mul", ["sum", "nought"], ["start"]),
        helper.make_node("Range", ["start", "end", "step"], ["large"]),
        end=np.array(elements, dtype=np.float32),
        step=np.array(1, dtype=np.float32),
    )


def field(number: int, content: bytes) -> bytes:
    """Return a field of a serialised Protocol Buffers message."""
    length, encoded = len(content), b""
    while length > 0x7F:
        encoded += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + content


def nested(depth: int) -> bytes:
    """Return the bytes of a model whose graph contains many empty graphs, each in an attribute of a node."""

    graph = b""
    for _ in range(depth):
        attribute = field(1, b"body") + field(6, graph) + b"\xa0\x01\x05"
        graph = field(1, field(4, b"Loop") + field(5, attribute))
    return b"\x08\x09" + field(8, b"\x10\x11") + field(7, graph)


def hostile_files(model: bytes, name: str = "iris") -> dict[str, bytes]:
    """Return a bundle of a graph without running it: its golden rows are those of the linear classifier."""
    return bundle_files(name, model=model, golden=golden_of(linear_classifier()))


class HostileMlflow:
    """An HTTP server with MLflow's API for a registry in memory, which sends the graphs of some models endlessly.

    Attributes:
        registry: the registry that it serves.
        endless: models whose graph is sent fast, and never ends.
        dripping: models whose graph is sent one byte at a time, and never ends.
        answer: replacements for the responses to a call, by the call's name.
    """

    def __init__(self) -> None:
        self.registry = InMemoryRegistry()
        self.endless: set[str] = set()
        self.dripping: set[str] = set()
        self.answer: dict[str, Callable[[], tuple[int, Any]]] = {}
        self.stopped = threading.Event()
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["HostileMlflow"]:
        """Serve on a loopback port until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stopped.set()
            server.shutdown()
            server.server_close()

    def reply(self, call: str, query: dict[str, str]) -> tuple[int, Any]:
        """Return the status and JSON of a call."""
        if call in self.answer:
            return self.answer[call]()
        models = {model.name: model for model in self.registry.list_models()}
        missing = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "it does not exist"}
        if call == "registered-models/search":
            return 200, {"registered_models": [_model_json(model) for model in models.values()]} if models else {}
        if query["name"] not in models:
            return missing
        if call == "registered-models/get":
            return 200, {"registered_model": _model_json(models[query["name"]])}
        found = [one for one in self.registry.list_versions(query["name"]) if one.version == query["version"]]
        if not found:
            return missing
        fields = {"name": found[0].name, "version": found[0].version, "tags": _tags(found[0].tags)}
        return 200, {"model_version": {**fields, "run_id": found[0].run_id}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                try:
                    if url.path == "/model-versions/get-artifact":
                        self._artifact(query)
                    else:
                        self._json(*outer.reply(url.path.removeprefix(f"{API}/"), query))
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def _json(self, status: int, answer: Any) -> None:
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _artifact(self, query: dict[str, str]) -> None:
                name, file = query["name"], FILES[query["path"]]
                self.send_response(200)
                self.end_headers()
                if file == "model.onnx" and name in outer.dripping:
                    while not outer.stopped.wait(DRIP_SECONDS):
                        self.wfile.write(b"x")
                elif file == "model.onnx" and name in outer.endless:
                    while not outer.stopped.is_set():
                        self.wfile.write(b"x" * 65_536)
                else:
                    self.wfile.write(outer.registry._files[name, query["version"]][file])

            def log_message(self, *_args: object) -> None:
                """Print nothing."""

        return Handler


def _model_json(model: Any) -> dict[str, Any]:
    aliases = [{"alias": alias, "version": version} for alias, version in model.aliases.items()]
    created = int(model.created_at * 1000)
    return {"name": model.name, "aliases": aliases, "tags": _tags(model.tags), "creation_timestamp": created}


def _tags(tags: Any) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]

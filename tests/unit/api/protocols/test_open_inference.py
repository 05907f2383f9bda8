"""`/v2`: responses and errors of the Open Inference Protocol, in JSON and in binary."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway_api.accounts.models import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.bundles import CLASSES, FEATURES

INFER = "/v2/models/iris/infer"
DEMAND = "/v2/models/demand/infer"
LENGTH = "Inference-Header-Content-Length"
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [6.0, 2.7, 4.2, 1.3]]
MATRIX = np.array(ROWS, dtype=np.float32)
DTYPES = {
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}


def tensor(data: object, shape: list[Any], name: str = "X", datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


def whole(rows: list[list[float]] = ROWS) -> dict[str, Any]:
    return tensor([value for row in rows for value in row], [len(rows), 4])


def by_feature(rows: list[list[float]] = ROWS) -> list[dict[str, Any]]:
    columns = zip(*rows, strict=True)
    return [tensor(list(values), [len(rows)], name) for name, values in zip(FEATURES, columns, strict=True)]


def infer(api: RunningApi, *inputs: dict[str, Any], path: str = INFER, **more: Any) -> httpx.Response:
    return api.post(path, role=Role.USER, json={"inputs": list(inputs), **more})


def infer_binary(
    api: RunningApi, head: Mapping[str, Any] | bytes, tail: bytes, length: str | None = None, path: str = INFER
) -> httpx.Response:
    content = head if isinstance(head, bytes) else json.dumps(head).encode()
    headers = {LENGTH: str(len(content)) if length is None else length}
    return api.post(path, role=Role.USER, content=content + tail, headers=headers)


def binary(values: np.ndarray, name: str = "X", datatype: str = "FP32", size: int | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(values.shape),
        "datatype": datatype,
        "parameters": {"binary_data_size": values.nbytes if size is None else size},
    }


def outputs(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {output["name"]: output["data"] for output in answer.json()["outputs"]}


def native(api: RunningApi, rows: object = ROWS, model: str = "iris") -> dict[str, Any]:
    answer: dict[str, Any] = api.post(f"/models/{model}/predict", role=Role.USER, json={"features": rows}).json()
    return answer


def assert_as_native(api: RunningApi, answer: httpx.Response, rows: object = ROWS) -> None:
    expected, found = native(api, rows), outputs(answer)
    assert found["label"] == expected["prediction"]
    assert found["label_name"] == expected["label"]
    assert found["probabilities"] == [value for row in expected["probabilities"] for value in row]


def error(answer: httpx.Response, status: int = 422) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    message: str = answer.json()["error"]
    return message


# Responses


def test_every_protocol_endpoint_responds(api: RunningApi) -> None:
    answer = infer(api, whole(), id="my request").json()

    assert list(answer) == ["model_name", "model_version", "id", "parameters", "outputs"]
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("iris", "1", "my request")
    assert list(answer["parameters"]) == ["prediction_id"]
    assert [(output["name"], output["datatype"], output["shape"]) for output in answer["outputs"]] == [
        ("label", "INT64", [3]),
        ("probabilities", "FP32", [3, 3]),
        ("label_name", "BYTES", [3]),
    ]


def test_request_without_an_id_gets_a_response_without_one(api: RunningApi) -> None:
    assert "id" not in infer(api, whole()).json()


@pytest.mark.parametrize(
    "inputs",
    [
        [whole()],
        [tensor(ROWS, [3, 4])],
        [tensor([value for row in ROWS for value in row], [3, 4], datatype="FP64")],
        by_feature(),
        by_feature()[::-1],
        [{**one, "shape": [3, 1]} for one in by_feature()],
        [{**one, "shape": [3, 1], "data": [[value] for value in one["data"]]} for one in by_feature()],
        [{**whole(), "parameters": {"content_type": "np"}}],
        [{**whole(), "parameters": None}],
    ],
    ids=[
        *("flat", "nested", "float64", "by feature", "reversed features", "one-column features"),
        *("nested one-column features", "unknown parameter", "null parameters"),
    ],
)
def test_all_encodings_match_the_native_protocol(api: RunningApi, inputs: list[dict[str, Any]]) -> None:
    assert_as_native(api, infer(api, *inputs))


def test_regressor_returns_its_values(api: RunningApi) -> None:
    answer = infer(api, whole(), path="/v2/models/demand/infer").json()

    [output] = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("value", "FP32", [3])
    assert output["data"] == native(api, model="demand")["prediction"]


def test_requested_outputs_are_returned(api: RunningApi) -> None:
    answer = infer(api, whole(), outputs=[{"name": "label_name"}, {"name": "label"}]).json()

    assert [output["name"] for output in answer["outputs"]] == ["label_name", "label"]
    assert answer["outputs"][0]["data"] == [CLASSES[0], CLASSES[2], CLASSES[1]]


@pytest.mark.parametrize("empty", [[], None], ids=str)
def test_no_requested_outputs_return_all(api: RunningApi, empty: object) -> None:
    assert len(infer(api, whole(), outputs=empty).json()["outputs"]) == 3


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_number_type_works_in_binary_and_json(api: RunningApi, datatype: str) -> None:
    values = np.array([[5, 3, 1, 0], [6, 3, 5, 2]]).astype(DTYPES[datatype])

    in_binary = infer_binary(api, {"inputs": [binary(values, datatype=datatype)]}, values.tobytes())
    in_json = infer(api, tensor(values.tolist(), [2, 4], datatype=datatype))

    assert_as_native(api, in_binary, [[5, 3, 1, 0], [6, 3, 5, 2]])
    assert outputs(in_json) == outputs(in_binary)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_numbers_are_rounded_alike_in_binary_and_json(api: RunningApi, datatype: str) -> None:
    values = MATRIX.astype(DTYPES[datatype])

    in_binary = infer_binary(api, {"inputs": [binary(values, datatype=datatype)]}, values.tobytes())

    assert outputs(in_binary) == outputs(infer(api, tensor(ROWS, [3, 4], datatype=datatype)))


def test_binary_and_json_inputs_may_be_mixed(api: RunningApi) -> None:
    columns = [np.ascontiguousarray(column) for column in MATRIX.T]
    inputs = [binary(column, name) for name, column in zip(FEATURES, columns, strict=True)]
    inputs[1] = by_feature()[1]
    tail = b"".join(column.tobytes() for index, column in enumerate(columns) if index != 1)

    assert_as_native(api, infer_binary(api, {"inputs": inputs}, tail), MATRIX.tolist())


def test_binary_outputs_follow_the_json_in_order(api: RunningApi) -> None:
    answer = infer(api, whole(), parameters={"binary_data_output": True})

    size = int(answer.headers[LENGTH])
    assert answer.headers["Content-Type"] == "application/octet-stream"
    head, tail = json.loads(answer.content[:size]), answer.content[size:]
    assert ["data" in output for output in head["outputs"]] == [False, False, False]
    sizes = [output["parameters"]["binary_data_size"] for output in head["outputs"]]
    assert sum(sizes) == len(tail)
    expected = native(api)
    assert np.frombuffer(tail[: sizes[0]], "<i8").tolist() == expected["prediction"]
    scores = np.frombuffer(tail[sizes[0] : sizes[0] + sizes[1]], "<f4").reshape(3, 3)
    np.testing.assert_array_equal(scores, np.array(expected["probabilities"], dtype=np.float32))
    names = b"".join(struct.pack("<I", len(name)) + name.encode() for name in expected["label"])
    assert tail[-sizes[2] :] == names


def test_binary_and_json_outputs_may_be_mixed(api: RunningApi) -> None:
    wanted = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}]

    answer = infer(api, whole(), outputs=wanted, parameters={"binary_data_output": True})

    head = json.loads(answer.content[: int(answer.headers[LENGTH])])
    assert head["outputs"][0]["data"] == [0, 2, 1]
    assert head["outputs"][1]["parameters"] == {"binary_data_size": 36}


def test_response_names_the_served_version(api: RunningApi) -> None:
    path = "/v2/models/iris/versions/{}"

    assert_as_native(api, infer(api, whole(), path=f"{path.format(1)}/infer"))
    other = infer(api, whole(), path=f"{path.format(2)}/infer")
    assert "no version 2 of a model named iris is served" in error(other, 404)
    assert api.get(path.format(1), role=Role.VIEWER).json()["versions"] == ["1"]
    assert api.get(f"{path.format(1)}/ready", role=Role.VIEWER).json() == {"name": "iris", "ready": True}
    error(api.get(path.format(2), role=Role.VIEWER), 404)
    error(api.get(f"{path.format(2)}/ready", role=Role.VIEWER), 404)


def test_request_counts_as_a_prediction(start_api: StartApi, registry: InMemoryRegistry) -> None:
    api = start_api(registry)

    infer(api, whole())

    assert api.sample("slipway_prediction_rows_total", model="iris", version="1") == 3
    counted = {"method": "POST", "route": "/v2/models/{name}/infer", "status": "200"}
    assert api.sample("slipway_http_requests_total", **counted) == 1


# Health and metadata


def test_server_metadata_lists_name_and_extensions(api: RunningApi) -> None:
    answer = api.get("/v2").json()

    assert (answer["name"], answer["extensions"]) == ("slipway", ["binary_tensor_data"])


def test_health_requires_no_token(api: RunningApi) -> None:
    assert api.get("/v2/health/live").json() == {"live": True}
    assert api.get("/v2/health/ready").json() == {"ready": True}


def test_server_without_its_model_is_live_and_not_ready(start_api: StartApi) -> None:
    api = start_api(InMemoryRegistry(), ready=False)

    assert api.get("/v2/health/live").status_code == 200
    server = api.get("/v2/health/ready")
    model = api.get("/v2/models/iris/ready", role=Role.VIEWER)
    assert (server.status_code, server.json()) == (503, {"ready": False})
    assert (model.status_code, model.json()) == (503, {"name": "iris", "ready": False})
    assert "iris" in error(api.get("/v2/models/iris", role=Role.VIEWER), 503)
    assert "iris" in error(infer(api, whole()), 503)


def test_metadata_describes_the_tensors(api: RunningApi) -> None:
    assert api.get("/v2/models/iris", role=Role.VIEWER).json() == {
        "name": "iris",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "label_name", "datatype": "BYTES", "shape": [-1]},
        ],
    }


def test_regressor_metadata_matches_its_responses(api: RunningApi) -> None:
    told = api.get("/v2/models/demand", role=Role.VIEWER).json()

    assert told["outputs"] == [{"name": "value", "datatype": "FP32", "shape": [-1]}]


@pytest.mark.parametrize("path", ["/v2/models/iris", "/v2/models/iris/ready", "/v2/models/iris/versions/1"])
def test_model_metadata_requires_a_token(api: RunningApi, path: str) -> None:
    assert "needs a token" in error(api.get(path), 401)


# Errors


def test_caller_without_permission_is_rejected(api: RunningApi) -> None:
    body = {"inputs": [whole()]}

    assert "token" in error(api.post(INFER, json=body), 401)
    assert "viewer" in error(api.post(INFER, role=Role.VIEWER, json=body), 403)


def test_unknown_model_is_rejected(api: RunningApi) -> None:
    assert "rose" in error(infer(api, whole(), path="/v2/models/rose/infer"), 404)
    assert "rose" in error(api.get("/v2/models/rose/ready", role=Role.VIEWER), 404)


def test_unknown_path_or_method_is_rejected(api: RunningApi) -> None:
    error(api.get("/v2/models/iris/config", role=Role.USER), 404)
    error(api.get(INFER, role=Role.USER), 405)


SMALL = [[1, 2, 3, 4]]
REFUSED: list[tuple[str, dict[str, Any] | list[Any] | None, str]] = [
    ("null", None, "must be an object"),
    ("list", [], "must be an object"),
    ("no inputs", {}, "at least one"),
    ("empty inputs", {"inputs": []}, "at least one"),
    ("inputs of another kind", {"inputs": {"X": 1}}, "list of at least one tensor"),
    ("too many inputs", {"inputs": [whole()] * 5}, "5 inputs, but the model has 4 features"),
    ("must have an object as its `parameters`", {"inputs": [3]}, "`name`, `shape` and `datatype`"),
    ("no name", {"inputs": [{"shape": [1, 4], "datatype": "FP32", "data": SMALL}]}, "`name`"),
    ("no shape", {"inputs": [{"name": "X", "datatype": "FP32", "data": SMALL}]}, "one or two dimensions"),
    ("no datatype", {"inputs": [{"name": "X", "shape": [1, 4], "data": SMALL}]}, "datatypes FP16, "),
    ("no data", {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32"}]}, "either `data` or"),
    ("data of another kind", {"inputs": [tensor("1, 2, 3, 4", [1, 4])]}, "list as its `data`"),
    ("parameters", {"inputs": [{**whole(), "parameters": 3}]}, "must have an object as its `parameters`"),
    ("another name", {"inputs": [tensor(SMALL, [1, 4], "input-0")]}, "send 'X' of shape [n, 4], or one tensor for"),
    ("a feature is missing", {"inputs": by_feature()[1:]}, f"the input '{FEATURES[0]}' is missing"),
    ("a feature is given twice", {"inputs": [*by_feature()[:3], by_feature()[0]]}, "is duplicated"),
    ("the whole is given twice", {"inputs": [whole(), whole()]}, "the input 'X' is duplicated; send it once"),
    ("a feature and the whole", {"inputs": [*by_feature()[:3], whole()]}, "'X' is unknown to this model"),
    ("unlike lengths", {"inputs": [*by_feature()[:3], *by_feature(ROWS[:2])[3:]]}, "as many rows as"),
    ("a feature of two columns", {"inputs": [tensor([1, 2], [1, 2], n) for n in FEATURES]}, "of shape [n] or [n, 1]"),
    ("one dimension", {"inputs": [tensor([1, 2, 3, 4], [4])]}, "must be of shape [n, 4]"),
    ("three dimensions", {"inputs": [tensor([1, 2, 3, 4], [1, 1, 4])]}, "one or two dimensions"),
    ("no dimensions", {"inputs": [tensor([1], [])]}, "one or two dimensions"),
    ("too narrow", {"inputs": [tensor([1, 2, 3], [1, 3])]}, "must be of shape [n, 4]"),
    ("no rows", {"inputs": [tensor([], [0, 4])]}, "each at least 1"),
    ("negative rows", {"inputs": [tensor([], [-1, 4])]}, "each at least 1"),
    ("half a row", {"inputs": [tensor(SMALL, [1.5, 4])]}, "each at least 1"),
    ("a boolean of rows", {"inputs": [tensor(SMALL, [True, 4])]}, "each at least 1"),
    ("too few values", {"inputs": [tensor([1, 2, 3], [1, 4])]}, "has 3 values, but its shape [1, 4] needs 4"),
    ("unlike rows", {"inputs": [tensor([[1, 2, 3, 4], [1, 2, 3]], [2, 4])]}, "does not match its shape [2, 4]"),
    ("half nested", {"inputs": [tensor([[1, 2, 3, 4], 5, 6, 7, 8], [2, 4])]}, "does not match its shape [2, 4]"),
    ("nested too deeply", {"inputs": [tensor([[[1], 2, 3, 4]], [1, 4])]}, "at [0, 0] must be a number"),
    ("text", {"inputs": [tensor([1, 2, "3", 4], [1, 4])]}, "'X' at [0, 2] must be a number"),
    ("boolean", {"inputs": [tensor([1, 2, True, 4], [1, 4])]}, "'X' at [0, 2] must be a number"),
    ("null value", {"inputs": [tensor([1, 2, None, 4], [1, 4])]}, "'X' at [0, 2] must be a number"),
    ("BOOL", {"inputs": [tensor([True] * 4, [1, 4], datatype="BOOL")]}, "datatypes FP16, "),
    ("BYTES", {"inputs": [tensor(["1"] * 4, [1, 4], datatype="BYTES")]}, "datatypes FP16, "),
    ("datatype of a wrong type", {"inputs": [{**whole(), "datatype": ["FP32"]}]}, "datatypes FP16, "),
    ("NaN", {"inputs": [tensor([1, float("nan"), 3, 4], [1, 4])]}, "'X' at [0, 1] must be a finite number"),
    ("infinity", {"inputs": [tensor([1, 2, 3, float("inf")], [1, 4])]}, "'X' at [0, 3] must be a finite number"),
    (
        "NaN in a feature",
        {"inputs": [{**i, "data": [1, float("nan"), 3]} for i in by_feature()]},
        "at [1] must",
    ),
    (
        "above the float32 maximum",
        {"inputs": [tensor([1, 2, 3, 1e39], [1, 4], datatype="FP64")]},
        "at [0, 3] is too large for FP32",
    ),
    (
        "above the float16 maximum",
        {"inputs": [tensor([1, 2, 3, 7e4], [1, 4], datatype="FP16")]},
        "at [0, 3] is too large for FP16",
    ),
    ("an endless integer", {"inputs": [tensor([1, 2, 3, 10**400], [1, 4])]}, "at [0, 3] is too large for FP32"),
    ("no integer", {"inputs": [tensor([1, 2, 3, 4.5], [1, 4], datatype="INT64")]}, "at [0, 3] must be a valid INT64"),
    (
        "beyond its type",
        {"inputs": [tensor([1, 2, 3, 256], [1, 4], datatype="UINT8")]},
        "at [0, 3] must be a valid UINT8",
    ),
    (
        "below its type",
        {"inputs": [tensor([1, 2, 3, -1], [1, 4], datatype="UINT64")]},
        "at [0, 3] must be a valid UINT64",
    ),
    (
        "its end as a float",
        {"inputs": [tensor([1, 2, 3, -(2.0**63)], [1, 4], datatype="INT64")]},
        "[0, 3] must be a valid INT64",
    ),
    ("an id of another kind", {"inputs": [whole()], "id": 42}, "`id` must be a string"),
    ("a long id", {"inputs": [whole()], "id": "x" * 257}, "at most 256 characters"),
    ("half a character", {"inputs": [whole()], "id": "\ud800"}, "`id` must be a string"),
    (
        "outputs of another kind",
        {"inputs": [whole()], "outputs": "label"},
        "a `name` of label, probabilities, label_name",
    ),
    ("an unknown output", {"inputs": [whole()], "outputs": [{"name": "scores"}]}, "one of label, probabilities"),
    ("an output of another kind", {"inputs": [whole()], "outputs": ["label"]}, "one of label, probabilities"),
    ("an output twice", {"inputs": [whole()], "outputs": [{"name": "label"}] * 2}, "have a different `name`"),
    (
        "classification",
        {"inputs": [whole()], "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
        "`classification` is not supported",
    ),
    (
        "input in shared memory",
        {"inputs": [{**whole(), "parameters": {"shared_memory_region": "a"}}]},
        "shared memory, which is not supported",
    ),
    (
        "output in shared memory",
        {"inputs": [whole()], "outputs": [{"name": "label", "parameters": {"shared_memory_region": "a"}}]},
        "`shared_memory_region` is not supported",
    ),
    (
        "binary_data_output of a wrong type",
        {"inputs": [whole()], "parameters": {"binary_data_output": 1}},
        "true or false",
    ),
    ("parameters are a list", {"inputs": [whole()], "parameters": []}, "must be an object"),
    ("size without bytes", {"inputs": [binary(MATRIX)]}, "0 bytes after the JSON"),
]


@pytest.mark.parametrize(("body", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_invalid_request_error_names_the_problem(api: RunningApi, body: object, message: str) -> None:
    content = json.dumps(body).encode()

    answer = api.post(INFER, role=Role.USER, content=content, headers={"Content-Type": "application/json"})

    assert message in error(answer)


TAIL = MATRIX.tobytes()


@pytest.mark.parametrize(
    ("inputs", "tail", "message"),
    [
        ([binary(MATRIX)], TAIL + b"x", "add up to the 49 bytes"),
        ([binary(MATRIX)], TAIL[:-1], "add up to the 47 bytes"),
        ([binary(MATRIX, size=47)], TAIL[:-1], "has 47 binary bytes, but FP32 of shape [3, 4] needs 48"),
        ([binary(MATRIX, size=-1)], TAIL, "must have a non-negative integer as its `binary_data_size`"),
        ([binary(MATRIX, size=True)], TAIL, "must have a non-negative integer as its `binary_data_size`"),
        ([binary(MATRIX, size=2**62)], TAIL, "add up to the 48 bytes"),
        ([{**binary(MATRIX), "data": [1]}], TAIL, "either `data` or"),
        ([whole()], TAIL, "add up to the 48 bytes"),
        ([binary(MATRIX, datatype="FP64")], TAIL, "FP64 of shape [3, 4] needs 96"),
        ([{**binary(MATRIX), "shape": [2, 4]}], TAIL, "shape [2, 4] needs 32"),
        ([binary(MATRIX, datatype="BF16")], TAIL, "datatypes FP16, "),
    ],
    ids=[
        *("too many", "too few", "too few for the shape", "negative", "boolean", "huge"),
        *("with data", "with JSON", "wrong type", "wrong shape", "BF16"),
    ],
)
def test_wrong_binary_sizes_are_rejected(
    api: RunningApi, inputs: list[dict[str, Any]], tail: bytes, message: str
) -> None:
    assert message in error(infer_binary(api, {"inputs": inputs}, tail))


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999", "9" * 5_000, "0x10", "1 0"])
def test_invalid_json_length_is_rejected(api: RunningApi, length: str) -> None:
    assert LENGTH in error(infer_binary(api, {"inputs": [binary(MATRIX)]}, TAIL, length))


def test_too_large_number_before_binary_data_is_reported(api: RunningApi) -> None:
    columns = [*by_feature()[:3], binary(MATRIX[:, 3], FEATURES[3])]
    head = json.dumps({"inputs": columns}).replace("5.1", "1" * 5_000, 1).encode()

    answer = infer_binary(api, head, np.ascontiguousarray(MATRIX[:, 3]).tobytes())

    assert error(answer).startswith("a number in the body is too large: line 1, column ")


def test_json_length_that_cuts_the_json_is_rejected(api: RunningApi) -> None:
    message = "Inference-Header-Content-Length is 10, which is not the size of the JSON"

    assert error(infer_binary(api, {"inputs": [binary(MATRIX)]}, TAIL, "10")) == message


def test_binary_data_without_header_error_names_the_header(api: RunningApi) -> None:
    content = json.dumps({"inputs": [binary(MATRIX)]}).encode() + TAIL
    headers = {"Content-Type": "application/octet-stream"}

    answer = api.post("/v2/models/iris/infer", role=Role.USER, content=content, headers=headers)

    assert error(answer) == (
        "the body has bytes after its JSON; set the header Inference-Header-Content-Length to the size of the JSON"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_non_finite_binary_number_error_names_its_place(api: RunningApi, value: float, datatype: str) -> None:
    values = MATRIX.astype(DTYPES[datatype])
    values[2, 1] = value

    answer = infer_binary(api, {"inputs": [binary(values, datatype=datatype)]}, values.tobytes())

    assert error(answer) == "the input 'X' at [2, 1] must be a finite number, not NaN or infinity"


def test_binary_number_beyond_float32_error_names_its_place(api: RunningApi) -> None:
    values = MATRIX.astype(np.float64)
    values[0, 3] = -1e39

    answer = infer_binary(api, {"inputs": [binary(values, datatype="FP64")]}, values.tobytes())

    assert error(answer) == "the input 'X' at [0, 3] is too large for FP32"


FLOAT_LIMITS = {"FP16": 65_520.0, "FP32": 2.0**128 - 2.0**103, "FP64": 2.0**128 - 2.0**103}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("datatype", FLOAT_LIMITS)
def test_number_that_rounds_to_infinity_is_rejected(api: RunningApi, datatype: str, sign: int) -> None:
    limit = FLOAT_LIMITS[datatype]

    within = infer(api, tensor([1, 2, 3, sign * np.nextafter(limit, 0)], [1, 4], datatype=datatype), path=DEMAND)
    beyond = infer(api, tensor([1, 2, 3, sign * limit], [1, 4], datatype=datatype), path=DEMAND)

    assert within.status_code == 200, within.text
    assert error(beyond) == f"the input 'X' at [0, 3] is too large for {'FP16' if datatype == 'FP16' else 'FP32'}"


def test_number_that_rounds_to_float32_maximum_is_accepted(api: RunningApi) -> None:
    values = np.array([[1, 2, 3, 3.4028235e38], [1, 2, 3, -3.4028235e38]])

    answer = infer_binary(api, {"inputs": [binary(values, datatype="FP64")]}, values.tobytes(), path=DEMAND)

    assert outputs(answer) == {"value": native(api, values.tolist(), "demand")["prediction"]}


INTEGERS = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integer_limits_are_accepted_in_binary_and_json(api: RunningApi, datatype: str) -> None:
    values = np.array([[*INTEGERS[datatype], 3, 4]], dtype=DTYPES[datatype])

    in_binary = infer_binary(api, {"inputs": [binary(values, datatype=datatype)]}, values.tobytes())
    in_json = infer(api, tensor(values.tolist(), [1, 4], datatype=datatype))

    assert outputs(in_json) == outputs(in_binary)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_beyond_their_type_are_rejected(api: RunningApi, datatype: str) -> None:
    least, most = INTEGERS[datatype]

    message = error(infer(api, tensor([[least - 1, most, least, most + 1]], [1, 4], datatype=datatype)))

    assert message == (
        f"2 errors: the input 'X' at [0, 0] must be a valid {datatype}; "
        f"the input 'X' at [0, 3] must be a valid {datatype}"
    )


@pytest.mark.parametrize("n_rows", [1_001, 10**9, 2**62, 10**4_000], ids=["1001", "10**9", "2**62", "10**4000"])
def test_too_many_rows_are_rejected_by_their_shape(api: RunningApi, n_rows: int) -> None:
    head = json.dumps({"inputs": [{**binary(MATRIX), "shape": [0, 4]}]}).replace("[0, 4]", f"[{n_rows}, 4]").encode()

    assert "exceed the limit of 1000" in error(infer_binary(api, head, TAIL), 413)


@pytest.mark.parametrize("content_type", ["text/csv", "multipart/form-data; boundary=x", "application/x-tensor"])
def test_other_content_types_are_rejected(api: RunningApi, content_type: str) -> None:
    answer = api.post(INFER, role=Role.USER, content=b"x", headers={"Content-Type": content_type})

    assert content_type.partition(";")[0] in error(answer, 415)


def test_body_over_the_limit_is_rejected(api: RunningApi) -> None:
    assert "200000 bytes" in error(api.post(INFER, role=Role.USER, content=b"x" * 200_001), 413)


# Property tests

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SIZES = st.integers(-2, 6) | st.sampled_from([2**31, 2**63, 2**64, True, None, 1.5])
NEAR_TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["X", *FEATURES, "Y"]) | ANYTHING,
        "shape": st.lists(SIZES, max_size=3) | ANYTHING,
        "datatype": st.sampled_from([*DTYPES, "BOOL", "BYTES", "BF16"]) | ANYTHING,
    },
    optional={
        "data": st.lists(st.floats() | st.integers() | st.lists(st.floats(), max_size=4), max_size=9) | ANYTHING,
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "content_type", "shared_memory_region"]), SIZES | ANYTHING
        ),
    },
)
NEAR_OUTPUTS = st.fixed_dictionaries(
    {"name": st.sampled_from(["label", "probabilities", "label_name", "x"]) | ANYTHING},
    optional={
        "parameters": st.dictionaries(st.sampled_from(["binary_data", "classification"]), st.booleans() | ANYTHING)
        | ANYTHING
    },
)
NEAR_REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(NEAR_TENSORS, min_size=1, max_size=5) | ANYTHING},
    optional={
        "id": st.text(max_size=5) | ANYTHING,
        "outputs": st.lists(NEAR_OUTPUTS, max_size=3) | ANYTHING,
        "parameters": st.dictionaries(st.just("binary_data_output"), st.booleans() | ANYTHING) | ANYTHING,
    },
)
MANY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_answered_or_refused(answer: httpx.Response) -> None:
    if answer.status_code == 200:
        size = int(answer.headers.get(LENGTH, len(answer.content)))
        assert json.loads(answer.content[:size])["model_name"] == "iris"
    else:
        assert answer.status_code in {413, 415, 422}, answer.text
        assert error(answer, answer.status_code)


@MANY
@given(content=st.binary(max_size=200), length=st.none() | st.integers(-1, 250).map(str) | st.text(max_size=5))
def test_any_bytes_are_answered_or_rejected(api: RunningApi, content: bytes, length: str | None) -> None:
    headers = {} if length is None else {LENGTH: length.encode("utf-8", "replace")}

    assert_answered_or_refused(api.post(INFER, role=Role.USER, content=content, headers=headers))


@MANY
@given(body=NEAR_REQUESTS | ANYTHING, tail=st.none() | st.binary(max_size=100), shift=st.sampled_from([0, 0, 0, -1, 1]))
def test_any_json_is_answered_or_rejected(api: RunningApi, body: object, tail: bytes | None, shift: int) -> None:
    content = json.dumps(body).encode()

    if tail is None:
        answer = api.post(INFER, role=Role.USER, content=content)
    else:
        answer = infer_binary(api, content, tail, str(len(content) + shift))

    assert_answered_or_refused(answer)


@MANY
@given(data=st.data(), n_rows=st.integers(1, 4), datatype=st.sampled_from(sorted(DTYPES)))
def test_any_binary_tensor_matches_native_protocol_or_fails(
    api: RunningApi, data: st.DataObject, n_rows: int, datatype: str
) -> None:
    size = n_rows * 4 * np.dtype(DTYPES[datatype]).itemsize
    tail = data.draw(st.binary(min_size=size, max_size=size))
    values = np.frombuffer(tail, DTYPES[datatype]).reshape(n_rows, 4)

    answer = infer_binary(api, {"inputs": [binary(values, datatype=datatype)]}, tail)

    expected = api.post(
        "/predict",
        role=Role.USER,
        content=json.dumps({"features": values.tolist()}).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == expected.status_code
    if answer.status_code == 200:
        found = outputs(answer)
        assert found["label"] == expected.json()["prediction"]
        assert found["probabilities"] == [value for row in expected.json()["probabilities"] for value in row]


@MANY
@given(rows=st.lists(st.lists(FLOAT32, min_size=4, max_size=4), min_size=1, max_size=5), nested=st.booleans())
def test_any_finite_rows_match_the_native_protocol(api: RunningApi, rows: list[list[float]], nested: bool) -> None:
    expected = api.post("/predict", role=Role.USER, json={"features": rows})

    together = infer(api, tensor(rows, [len(rows), 4]) if nested else whole(rows))
    apart = infer(api, *by_feature(rows))

    assert together.status_code == apart.status_code == expected.status_code
    if expected.status_code == 200:
        assert outputs(together)["label"] == outputs(apart)["label"] == expected.json()["prediction"]

"""Clients of KServe's protocols with the API as a process: Triton's, KServe's, and curl."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from backports import zstd
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from support.api_process import ApiProcess, api_process
from support.bundles import FEATURES

pytestmark = pytest.mark.slow

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [6.0, 2.7, 4.2, 1.3]], dtype=np.float32)
LABELS = [0, 2, 1]
NAMES = [b"setosa", b"virginica", b"versicolor"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with api_process(tmp_path_factory.mktemp("api")) as served:
        yield served


@pytest.fixture(scope="module")
def token(served: ApiProcess) -> str:
    return served.log_in()


@pytest.fixture
def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def client(served: ApiProcess) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.address) as client:
        yield client


def tensor(values: np.ndarray, name: str = "X", *, binary: bool = True) -> InferInput:
    given = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def test_triton_finds_the_server_live_and_ready(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]


def test_triton_finds_the_model_ready_with_a_token(client: InferenceServerClient, headers: dict[str, str]) -> None:
    assert client.is_model_ready("iris", headers=headers)
    assert client.is_model_ready("iris", "1", headers=headers)
    assert not client.is_model_ready("iris", "2", headers=headers)
    assert not client.is_model_ready("rose", headers=headers)
    assert not client.is_model_ready("iris")


def test_triton_response_matches_the_metadata(client: InferenceServerClient, headers: dict[str, str]) -> None:
    metadata = client.get_model_metadata("iris", headers=headers)
    [given] = metadata["inputs"]
    values = ROWS.astype(np.float32)
    assert (given["datatype"], given["shape"]) == ("FP32", [-1, values.shape[1]])

    result = client.infer("iris", [tensor(values, given["name"])], headers=headers)

    for output in metadata["outputs"]:
        found = result.as_numpy(output["name"])
        assert found.shape == tuple(len(ROWS) if size == -1 else size for size in output["shape"])


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False])
def test_triton_exchanges_binary_and_json_tensors(
    client: InferenceServerClient, headers: dict[str, str], binary_input: bool, binary_output: bool
) -> None:
    names = ("label", "probabilities", "label_name")
    wanted = [InferRequestedOutput(name, binary_data=binary_output) for name in names]

    result = client.infer(
        "iris", [tensor(ROWS, binary=binary_input)], request_id="the-one", outputs=wanted, headers=headers
    )

    answer = result.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("the-one", "iris", "1")
    assert all(("data" in output) is not binary_output for output in answer["outputs"])
    assert result.as_numpy("label").dtype == np.int64
    assert result.as_numpy("label").tolist() == LABELS
    assert result.as_numpy("probabilities").argmax(axis=1).tolist() == LABELS
    np.testing.assert_allclose(result.as_numpy("probabilities").sum(axis=1), 1, rtol=1e-5)
    assert [bytes(name, "utf-8") if isinstance(name, str) else name for name in result.as_numpy("label_name")] == NAMES


def test_triton_without_outputs_gets_all_in_binary(client: InferenceServerClient, headers: dict[str, str]) -> None:
    result = client.infer("iris", [tensor(ROWS)], headers=headers)

    assert result.as_numpy("label").tolist() == LABELS
    assert result.as_numpy("label_name").tolist() == NAMES
    assert result.as_numpy("probabilities").shape == (3, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_triton_sends_one_tensor_for_each_feature(
    client: InferenceServerClient, headers: dict[str, str], dtype: type[np.floating]
) -> None:
    columns = [tensor(ROWS[:, [i]].astype(dtype), name, binary=i % 2 == 0) for i, name in enumerate(FEATURES)]

    result = client.infer("iris", columns, model_version="1", headers=headers)

    assert result.as_numpy("label").tolist() == LABELS


def test_triton_infers_with_a_regressor(client: InferenceServerClient, headers: dict[str, str]) -> None:
    rows = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.int32)

    assert client.infer("demand", [tensor(rows)], headers=headers).as_numpy("value").tolist() == [10.0, 26.0]


def test_triton_sends_large_batches(client: InferenceServerClient, headers: dict[str, str]) -> None:
    rows = np.tile(ROWS, (3_000, 1))

    result = client.infer("iris", [tensor(rows)], headers=headers)

    assert result.as_numpy("label").tolist() == LABELS * 3_000


def test_triton_sends_concurrent_requests(served: ApiProcess, headers: dict[str, str]) -> None:
    with InferenceServerClient(served.address, concurrency=4) as client:
        asked = [client.async_infer("iris", [tensor(ROWS)], headers=dict(headers)) for _ in range(20)]

        assert [one.get_result().as_numpy("label").tolist() for one in asked] == [LABELS] * 20


@pytest.mark.parametrize("binary", [True, False])
def test_triton_client_may_compress_its_requests(
    client: InferenceServerClient, headers: dict[str, str], binary: bool
) -> None:
    rows = np.repeat(ROWS, 2_000, axis=0)

    result = client.infer("iris", [tensor(rows, binary=binary)], headers=headers, request_compression_algorithm="gzip")

    assert result.as_numpy("label").tolist() == np.repeat(LABELS, 2_000).tolist()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_curl_may_compress_its_requests(
    served: ApiProcess, headers: dict[str, str], tmp_path: Path, coding: str
) -> None:
    body = json.dumps({"instances": ROWS.tolist() * 2_000}).encode()
    file = tmp_path / "rows"
    file.write_bytes(gzip.compress(body) if coding == "gzip" else zstd.compress(body))
    command = ["curl", "--silent", "--data-binary", f"@{file}", "-H", f"Content-Encoding: {coding}"]
    command += ["-H", "Content-Type: application/json", "-H", f"Authorization: {headers['Authorization']}"]

    answer = subprocess.run(
        [*command, f"{served.url}/v1/models/iris:predict"], capture_output=True, timeout=60, check=True
    )

    assert json.loads(answer.stdout) == {"predictions": ["setosa", "virginica", "versicolor"] * 2_000}


def test_triton_client_gets_the_error(client: InferenceServerClient, headers: dict[str, str]) -> None:
    rows = ROWS.copy()
    rows[1, 2] = np.nan

    def error(*inputs: InferInput, **more: object) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as raised:
            # The client adds headers of its own to those that it is given.
            client.infer("iris", list(inputs), **{"headers": dict(headers), **more})
        return str(raised.value.status()), str(raised.value.message())

    assert error(tensor(rows)) == ("422", "the input 'X' at [1, 2] must be a finite number, not NaN or infinity")
    assert error(tensor(rows, binary=False))[1] == error(tensor(rows))[1]
    assert error(tensor(ROWS, "input"))[1].endswith("send 'X' of shape [n, 4], or one tensor for each feature")
    status, message = error(tensor(ROWS), model_version="2")
    assert status == "404"
    assert message.startswith(
        "no version 2 of a model named iris is served; GET /models lists the served versions; to serve it"
    )
    assert error(tensor(ROWS), headers={})[0] == "401"
    assert error(tensor(ROWS), request_compression_algorithm="deflate")[0] == "415"
    message = error(tensor(ROWS), outputs=[InferRequestedOutput("scores")])[1]
    assert message.startswith("each of `outputs` must have a different `name`, one of label")


# KServe's client needs other versions of our libraries.

CLIENTS = Path(__file__).parents[1] / "clients"
CONSTRAINTS = CLIENTS / "kserve-constraints.txt"
UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Temporary failure in name resolution|"
    r"No matching distribution found for kserve"
)


@pytest.fixture(scope="module")
def kserve_python(pytestconfig: pytest.Config) -> Path:
    """The Python of an environment with KServe's client, kept for the next run."""
    assert pytestconfig.cache is not None
    key = hashlib.sha256(CONSTRAINTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = pytestconfig.cache.mkdir(f"kserve-{key}")
    python, made = folder / "bin" / "python", folder / "made"
    if made.exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=120)
    [version] = re.findall(r"^kserve==(.+)$", CONSTRAINTS.read_text(), re.MULTILINE)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=1"]
    installed = subprocess.run(
        [*install, f"--constraint={CONSTRAINTS}", f"kserve=={version}"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if installed.returncode and UNREACHABLE.search(installed.stderr):
        pytest.skip("KServe's client cannot be installed: no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    made.touch()
    return python


@pytest.mark.slow
def test_kserve_client_gets_predictions(served: ApiProcess, token: str, kserve_python: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    asked = subprocess.run(
        [str(kserve_python), str(CLIENTS / "kserve_client.py"), served.url, token],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert asked.returncode == 0, asked.stderr
    answers = json.loads(asked.stdout.splitlines()[-1])
    assert [answers[name] for name in ("live", "ready", "model ready")] == [True, True, True]
    assert [answers[name] for name in ("other model ready", "ready without a token")] == [False, False]
    for form in ("json", "binary"):
        answer = answers[form]
        assert (answer["id"], answer["model"]) == ("the-one", "iris")
        assert answer["outputs"]["label"] == [0, 2]
        assert answer["outputs"]["label_name"] == ["setosa", "virginica"]
        assert np.argmax(answer["outputs"]["probabilities"], axis=1).tolist() == [0, 2]
    assert "`inputs` must be a list of at least one tensor, '422 " in answers["error"]
    v1 = answers["v1"]
    assert (v1["ready"], v1["other model ready"], v1["answer"]) == (
        True,
        False,
        {"predictions": ["setosa", "virginica"]},
    )
    assert "`instances` must be a list of at least one entry" in v1["error"]

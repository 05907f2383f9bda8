"""MLflow's client, and requests of SageMaker, with the API as a process that SageMaker starts."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from mlflow.deployments import PredictionsResponse
from mlflow.utils.proto_json_utils import dump_input_data

from support.api_process import ApiProcess, api_process
from support.bundles import FEATURES
from support.servers import free_port

pytestmark = pytest.mark.slow

with warnings.catch_warnings():
    # MLflow's import warns of a type of its own.
    warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [6.0, 2.7, 4.2, 1.3]]
FRAME = pd.DataFrame(ROWS, columns=list(FEATURES))
LABELS = ["setosa", "virginica", "versicolor"]


@pytest.fixture(scope="module")
def sagemaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """A process as SageMaker starts it: without a key, and with a given port."""
    environment = {"SECRET_KEY": None, "SLIPWAY_PORT": None, "SAGEMAKER_BIND_TO_PORT": str(free_port())}
    with api_process(tmp_path_factory.mktemp("sagemaker"), "sagemaker", environment=environment) as served:
        yield served


@pytest.fixture(scope="module")
def client(sagemaker: ApiProcess) -> ScoringServerClient:
    return ScoringServerClient("127.0.0.1", sagemaker.port)


def test_mlflow_client_finds_the_server_ready(client: ScoringServerClient) -> None:
    client.ping()
    client.wait_server_ready(timeout=10)


@pytest.mark.parametrize(
    "data",
    [FRAME, FRAME[list(FEATURES)[::-1]], FRAME.set_index(pd.Index([7, 8, 9])), np.array(ROWS), ROWS],
    ids=["data frame", "columns backwards", "another index", "array", "list"],
)
def test_mlflow_client_gets_predictions(client: ScoringServerClient, data: object) -> None:
    answer = client.invoke(data)

    assert answer.get_predictions("ndarray").tolist() == LABELS
    assert answer.get_predictions()[0].tolist() == LABELS


@pytest.mark.parametrize(
    "body",
    [
        dump_input_data(np.array(ROWS), inputs_key="instances"),
        json.dumps({"dataframe_records": FRAME.to_dict(orient="records")}),
        json.dumps({"inputs": FRAME.to_dict(orient="list")}),
        dump_input_data(FRAME, params={}),
    ],
    ids=["instances", "records", "columns", "no params"],
)
def test_other_formats_of_mlflow_get_predictions(sagemaker: ApiProcess, body: str) -> None:
    headers = {"Content-Type": "application/json"}

    answer = httpx.post(f"{sagemaker.url}/invocations", content=body, headers=headers)

    assert PredictionsResponse.from_json(answer.text).get_predictions("ndarray").tolist() == LABELS


def test_mlflow_client_gets_the_error(client: ScoringServerClient) -> None:
    with pytest.raises(Exception, match=r"error code 422.*'petal width \(cm\)' must be a finite number"):
        client.invoke(np.array([[1, 2, 3, np.nan]]))


@pytest.mark.parametrize("accept", ["*/*", "text/csv"])
@pytest.mark.parametrize("header", [True, False])
def test_sagemaker_csv_gets_the_accepted_response_type(sagemaker: ApiProcess, header: bool, accept: str) -> None:
    body = FRAME.to_csv(index=False, header=header)

    answer = httpx.post(
        f"{sagemaker.url}/invocations", content=body, headers={"Content-Type": "text/csv", "Accept": accept}
    )

    assert answer.text == (
        "\n".join([*LABELS, ""]) if accept == "text/csv" else json.dumps({"predictions": LABELS}, separators=(",", ":"))
    )


def test_other_routes_under_sagemaker_need_a_token(sagemaker: ApiProcess) -> None:
    assert httpx.get(f"{sagemaker.url}/ping").status_code == 200
    assert httpx.get(f"{sagemaker.url}/models").status_code == 401
    assert httpx.post(f"{sagemaker.url}/predict", json={"features": ROWS}).status_code == 401


def test_sagemaker_process_listens_on_every_address(sagemaker: ApiProcess) -> None:
    assert httpx.get(f"http://127.0.0.2:{sagemaker.port}/ping").status_code == 200


def test_invalid_sagemaker_port_is_reported(tmp_path: Path) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "SAGEMAKER_BIND_TO_PORT": "eighty"}

    ended = subprocess.run(
        [sys.executable, "-m", "slipway_api", "sagemaker"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: SAGEMAKER_BIND_TO_PORT")

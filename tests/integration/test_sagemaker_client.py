"""SageMaker's client of boto3, against the API as a process: the example of docs/protocols.md, and errors."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from support.api_process import ApiProcess, api_process

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs/protocols.md").read_text(encoding="utf-8")
ROWS = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]})
JSON = "application/json"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with api_process(tmp_path_factory.mktemp("sagemaker-client"), "serve") as served:
        yield served


def client_of(served: ApiProcess, token: str | None) -> Any:
    """Return a client that sends a token, without retries."""
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    client = boto3.client("sagemaker-runtime", endpoint_url=served.url, region_name="us-east-1", config=config)

    def authenticate(request: Any, **_arguments: object) -> None:
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"

    client.meta.events.register("before-sign.sagemaker-runtime.*", authenticate)
    return client


def test_documented_example_runs(served: ApiProcess) -> None:
    (section,) = re.findall(r"^### SageMaker's client\n(.*?)^### ", PAGE, re.MULTILINE | re.DOTALL)
    (example,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", example.replace("http://127.0.0.1:8000", served.url)],
        env={**os.environ, "TOKEN": served.token},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    answer, label, error = done.stdout.split("\n", 2)
    assert (json.loads(answer.replace("'", '"')), label.strip()) == ({"predictions": ["setosa"]}, "virginica")
    assert error.strip().startswith("422 An error occurred (ModelError) when calling the InvokeEndpoint operation: ")


@pytest.mark.parametrize("variant", [None, "Production", "AllTraffic"])
def test_variant_is_named_in_the_response(served: ApiProcess, variant: str | None) -> None:
    target = {} if variant is None else {"TargetVariant": variant}

    answer = client_of(served, served.token).invoke_endpoint(
        EndpointName="iris", ContentType=JSON, Accept=JSON, Body=ROWS, CustomAttributes="trace=1", **target
    )

    assert (answer["InvokedProductionVariant"], answer["ContentType"]) == ("Production", JSON)
    assert json.load(answer["Body"]) == {"predictions": ["setosa", "virginica"]}


ERRORS: tuple[tuple[str, dict[str, str], str, int, str], ...] = (
    ("no token", {}, "UnrecognizedClientException", 401, "token"),
    ("not loaded", {"EndpointName": "rose"}, "ServiceUnavailable", 503, "rose is not loaded yet: the model registry"),
    ("unknown variant", {"TargetVariant": "blue"}, "ValidationError", 404, "the endpoint has no variant 'blue'"),
    ("model of many", {"TargetModel": "a.tar.gz"}, "ModelError", 422, "TargetModel is not supported"),
    ("wrong rows", {"Body": '{"instances": [[1, 2]]}'}, "ModelError", 422, "instances/0: expected 4 features"),
    ("not JSON", {"Body": "{"}, "ModelError", 422, "JSON"),
    ("content type", {"ContentType": "text/plain"}, "ModelError", 415, "text/plain is not supported"),
)


@pytest.mark.parametrize(("name", "changes", "code", "status", "message"), ERRORS, ids=[one[0] for one in ERRORS])
def test_error_is_a_readable_exception(
    served: ApiProcess, name: str, changes: dict[str, str], code: str, status: int, message: str
) -> None:
    client = client_of(served, None if name == "no token" else served.token)

    with pytest.raises(ClientError) as raised:
        client.invoke_endpoint(**{"EndpointName": "iris", "ContentType": JSON, "Body": ROWS, **changes})

    response: Any = raised.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert message in response["Error"]["Message"]
    assert type(raised.value).__name__ == (
        code if code in {"ModelError", "ServiceUnavailable", "ValidationError"} else "ClientError"
    )
    if code == "ModelError":
        assert (response["OriginalStatusCode"], response["OriginalMessage"]) == (status, response["Error"]["Message"])

"""The registry over MLflow's REST API: its requests, and the errors for bad responses."""

import base64
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway_core.bundle import MANIFEST_FILE, REFERENCE_FILE
from slipway_core.errors import RegistryError, RegistryNotFoundError, RegistryUnavailableError, SlipwayError
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE
from slipway_core.registry import PRODUCTION, ModelVersion, RegisteredModel
from slipway_core.registry.mlflow import PAGE_SIZE, MlflowRegistry
from support.servers import free_port

Handler = Callable[[httpx.Request], httpx.Response]
IRIS_1 = ModelVersion("iris", "1")
ADDRESS = "http://registry.example:5000"

CALLS: dict[str, Callable[[MlflowRegistry, Path], object]] = {
    "list_models": lambda registry, _: registry.list_models(),
    "get_model": lambda registry, _: registry.get_model("iris"),
    "list_versions": lambda registry, _: registry.list_versions("iris"),
    "get_version": lambda registry, _: registry.get_version("iris", "1"),
    "fetch": lambda registry, file: registry.fetch(IRIS_1, MODEL_FILE, file),
    "set_alias": lambda registry, _: registry.set_alias("iris", PRODUCTION, "1"),
    "set_model_tag": lambda registry, _: registry.set_model_tag("iris", "team", "botany"),
    "set_version_tag": lambda registry, _: registry.set_version_tag("iris", "1", "team", "botany"),
    "delete_version_tag": lambda registry, _: registry.delete_version_tag("iris", "1", "team"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
# Calls whose response must contain an item.
every_question = pytest.mark.parametrize("question", ["get_model", "list_versions", "get_version"])


def registry_over(
    handler: Handler, address: str = ADDRESS, *, username: str | None = None, password: str | None = None
) -> MlflowRegistry:
    return MlflowRegistry(address, username=username, password=password, transport=httpx.MockTransport(handler))


def always(answer: httpx.Response) -> Handler:
    return lambda _: answer


def failing(error: Exception) -> Handler:
    def handler(_: httpx.Request) -> httpx.Response:
        raise error

    return handler


def refusal(status: int, code: str, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error_code": code, "message": message})


# Requests


@pytest.mark.parametrize("address", [ADDRESS, f"{ADDRESS}/", f"{ADDRESS}/behind/a/proxy"])
def test_calls_start_with_the_address_of_the_server(address: str) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url.copy_with(query=None)))
        return httpx.Response(200, json={"registered_model": {"name": "iris"}})

    registry_over(handler, address).get_model("iris")

    assert asked == [f"{address.rstrip('/')}/api/2.0/mlflow/registered-models/get"]


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ({}, None),
        ({"username": "grace", "password": "wonder"}, b"grace:wonder"),
        ({"username": "grace"}, b"grace:"),
        ({"password": "wonder"}, None),
    ],
)
def test_credentials_go_with_every_call(tmp_path: Path, credentials: Mapping[str, str], expected: bytes | None) -> None:
    sent: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("Authorization"))
        return httpx.Response(200, json={})

    registry = registry_over(handler, **credentials)
    registry.list_models()
    registry.fetch(IRIS_1, MODEL_FILE, tmp_path / "file")

    header = None if expected is None else f"Basic {base64.b64encode(expected).decode()}"
    assert sent == [header, header]


@pytest.mark.parametrize(
    ("file", "path"),
    [
        (MODEL_FILE, "model.onnx"),
        (MANIFEST_FILE, "extra_files/manifest.json"),
        (GOLDEN_FILE, "extra_files/golden.json"),
        (REFERENCE_FILE, "extra_files/reference.parquet"),
    ],
)
def test_file_is_fetched_from_the_onnx_flavor_path(tmp_path: Path, file: str, path: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/model-versions/get-artifact"
        return httpx.Response(200, content=json.dumps(dict(request.url.params)).encode())

    registry_over(handler).fetch(IRIS_1, file, tmp_path / "file")

    assert json.loads((tmp_path / "file").read_bytes()) == {"name": "iris", "version": "1", "path": path}


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        ("delete_version_tag", "model-versions/delete-tag", {"name": "iris", "version": "1", "key": "team"}),
        ("set_alias", "registered-models/alias", {"name": "iris", "alias": "Production", "version": "1"}),
        ("set_model_tag", "registered-models/set-tag", {"name": "iris", "key": "team", "value": "botany"}),
        (
            "set_version_tag",
            "model-versions/set-tag",
            {"name": "iris", "version": "1", "key": "team", "value": "botany"},
        ),
    ],
)
def test_alias_and_tags_are_posted(tmp_path: Path, call: str, path: str, body: dict[str, str]) -> None:
    posted: list[tuple[str, str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        posted.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={})

    CALLS[call](registry_over(handler), tmp_path / "file")

    assert posted == [("DELETE" if call.startswith("delete") else "POST", f"/api/2.0/mlflow/{path}", body)]


# Responses


def test_pages_are_followed_to_the_last() -> None:
    pages = {"": (["a", "b"], "two"), "two": (["c"], "three"), "three": ([], "four"), "four": (["d"], "")}
    sizes: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sizes.append(request.url.params["max_results"])
        assert len(sizes) <= len(pages), "the same page is requested repeatedly"
        names, token = pages[request.url.params.get("page_token", "")]
        # Like MLflow, which omits empty fields.
        answer = {"registered_models": [{"name": name} for name in names], "next_page_token": token}
        return httpx.Response(200, json={key: value for key, value in answer.items() if value})

    models = registry_over(handler).list_models()

    assert [model.name for model in models] == ["a", "b", "c", "d"]
    assert sizes == [str(PAGE_SIZE)] * 4


def test_versions_are_sorted_newest_first() -> None:
    versions = [{"name": "iris", "version": number} for number in ("9", "10", "1", "2")]
    answer = {"registered_model": {"name": "iris"}, "model_versions": versions}

    listed = registry_over(always(httpx.Response(200, json=answer))).list_versions("iris")

    assert [version.version for version in listed] == ["10", "9", "2", "1"]


def test_fields_missing_in_the_response_are_empty() -> None:
    models = registry_over(always(httpx.Response(200, json={"registered_models": [{"name": "iris"}]}))).list_models()

    assert models == [RegisteredModel("iris")]


def test_numbers_of_a_version_may_be_text() -> None:
    item = {
        "name": "iris",
        "version": 7,
        "creation_timestamp": "1795176000500",
        "tags": [{"key": "team", "value": "botany"}, {"key": "empty"}],
    }

    version = registry_over(always(httpx.Response(200, json={"model_version": item}))).get_version("iris", "7")

    assert version == ModelVersion("iris", "7", tags={"team": "botany", "empty": ""}, created_at=1795176000.5)


# Unavailable servers


@every_call
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("refused"), "the model registry cannot be reached"),
        (httpx.RemoteProtocolError("closed"), "the model registry cannot be reached"),
        (httpx.ConnectTimeout("late"), "the model registry did not respond in time"),
        (httpx.ReadTimeout("late"), "the model registry did not respond in time"),
        (httpx.PoolTimeout("late"), "the model registry did not respond in time"),
    ],
    ids=["refused", "closed", "slow to connect", "slow to answer", "too many at once"],
)
def test_unreachable_server_raises_unavailable(
    tmp_path: Path, call: Callable[[MlflowRegistry, Path], object], error: Exception, words: str
) -> None:
    with pytest.raises(RegistryUnavailableError) as caught:
        call(registry_over(failing(error)), tmp_path / "file")

    assert str(caught.value) == words


def test_unused_port_raises_unavailable() -> None:
    with (
        MlflowRegistry(f"http://127.0.0.1:{free_port()}") as registry,
        pytest.raises(RegistryUnavailableError, match=r"^the model registry cannot be reached$"),
    ):
        registry.list_models()


def test_silent_server_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with (
            MlflowRegistry(address, timeout_seconds=0.2) as registry,
            pytest.raises(RegistryUnavailableError, match=r"^the model registry did not respond in time$"),
        ):
            registry.list_models()


@every_call
@pytest.mark.parametrize("status", [502, 503, 504])
def test_proxy_error_raises_unavailable(
    tmp_path: Path, call: Callable[[MlflowRegistry, Path], object], status: int
) -> None:
    registry = registry_over(always(httpx.Response(status, html="<h1>Bad gateway</h1>")))

    with pytest.raises(RegistryUnavailableError) as caught:
        call(registry, tmp_path / "file")

    assert str(caught.value) == f"the model registry is not available ({status})"


def test_truncated_file_raises_unavailable(tmp_path: Path) -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"the first half"
            raise httpx.ReadError("connection reset")

    registry = registry_over(always(httpx.Response(200, stream=Broken())))

    with pytest.raises(RegistryUnavailableError, match=r"^the model registry cannot be reached$"):
        registry.fetch(IRIS_1, MODEL_FILE, tmp_path / "file")


# Errors of the server


@every_call
@pytest.mark.parametrize("status", [401, 403])
def test_rejected_access_is_not_retried_and_names_the_setting(
    tmp_path: Path, call: Callable[[MlflowRegistry, Path], object], status: int
) -> None:
    registry = registry_over(always(httpx.Response(status, text="You are not authenticated.")))

    with pytest.raises(RegistryError, match=rf"refused access \({status}\).*MLFLOW_TRACKING_USERNAME") as caught:
        call(registry, tmp_path / "file")

    assert not isinstance(caught.value, RegistryUnavailableError)


@every_call
@pytest.mark.parametrize(
    "answer",
    [refusal(404, "RESOURCE_DOES_NOT_EXIST", "no"), refusal(400, "RESOURCE_DOES_NOT_EXIST", "no"), httpx.Response(404)],
    ids=["MLflow's", "MLflow's of another status", "a proxy's"],
)
def test_missing_item_raises_not_found(
    tmp_path: Path, call: Callable[[MlflowRegistry, Path], object], answer: httpx.Response
) -> None:
    with pytest.raises(RegistryNotFoundError) as caught:
        call(registry_over(always(answer)), tmp_path / "file")

    assert str(caught.value)


def test_unknown_model_is_reported_with_the_list_command() -> None:
    answer = refusal(404, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=roses not found")

    with pytest.raises(RegistryNotFoundError) as caught:
        registry_over(always(answer)).get_model("roses")

    assert str(caught.value) == "no model named roses is registered; `slipway models list` lists the registered models"


@pytest.mark.parametrize("version", ["9", "latest"])
def test_unknown_version_is_reported_with_the_show_command(version: str) -> None:
    answer = refusal(404, "RESOURCE_DOES_NOT_EXIST", "Model Version (name=roses, version=9) not found")

    with pytest.raises(RegistryNotFoundError) as caught:
        registry_over(always(answer)).get_version("roses", version)

    assert str(caught.value) == (
        f"version {version} of roses does not exist; `slipway models list` lists the models, and "
        "`slipway models show roses` the versions of this one"
    )


def test_missing_file_is_reported_and_not_created(tmp_path: Path) -> None:
    answer = refusal(404, "RESOURCE_DOES_NOT_EXIST", "No such artifact: '0/29558396/artifacts/extra_files/golden.json'")

    with pytest.raises(RegistryNotFoundError) as caught:
        registry_over(always(answer)).fetch(IRIS_1, GOLDEN_FILE, tmp_path / "file")

    assert str(caught.value) == "the model registry does not have golden.json of version 1 of iris"
    assert not (tmp_path / "file").exists()


def test_rejected_value_is_reported_in_the_words_of_the_server() -> None:
    answer = refusal(400, "INVALID_PARAMETER_VALUE", "'value' exceeds the maximum length of 100000 characters")

    with pytest.raises(RegistryError, match=r"\(400\): 'value' exceeds the maximum length") as caught:
        registry_over(always(answer)).set_model_tag("iris", "team", "x" * 100_001)

    assert type(caught.value) is RegistryError


@every_call
def test_server_fault_is_reported_without_internals(
    tmp_path: Path, call: Callable[[MlflowRegistry, Path], object]
) -> None:
    message = "(psycopg2.OperationalError) connection to 10.0.0.3 failed, see '/var/lib/mlflow/artifacts'"
    registry = registry_over(always(refusal(500, "INTERNAL_ERROR", message)))

    with pytest.raises(RegistryError, match=r"^the model registry failed at .* \(500\)") as caught:
        call(registry, tmp_path / "file")

    assert "psycopg2" not in str(caught.value)
    assert "/var/lib" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<h1>Oops</h1>", b'["oops"]', b'"oops"', b"null"])
def test_error_of_another_form_is_reported_by_its_status(body: bytes) -> None:
    registry = registry_over(always(httpx.Response(500, content=body)))

    with pytest.raises(RegistryError, match=r"^the model registry failed at the request \(500\)$"):
        registry.list_models()


# Other servers


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        *(
            (answer, "response is not JSON")
            for answer in (httpx.Response(200, html="<h1>Hi</h1>"), httpx.Response(302), httpx.Response(204))
        ),
        *(
            (httpx.Response(200, content=body), "response is not a JSON object")
            for body in (b"[]", b'"pong"', b"1", b"null")
        ),
    ],
)
def test_response_other_than_an_object_suggests_a_wrong_address(answer: httpx.Response, words: str) -> None:
    with pytest.raises(RegistryError, match=rf"{words}: check MLFLOW_TRACKING_URI"):
        registry_over(always(answer)).list_models()


@every_question
def test_json_without_the_requested_item_is_a_registry_error(tmp_path: Path, question: str) -> None:
    registry = registry_over(always(httpx.Response(200, json={"status": "ok"})))

    with pytest.raises(RegistryError):
        CALLS[question](registry, tmp_path / "file")


@pytest.mark.parametrize("address", ["http://registry.example:port", "http://[::1"])
def test_invalid_url_is_a_configuration_error(address: str) -> None:
    with pytest.raises(SlipwayError):
        MlflowRegistry(address)


def test_connections_are_closed_with_the_registry() -> None:
    class Transport(httpx.MockTransport):
        closed = False

        def close(self) -> None:
            self.closed = True

    transport = Transport(always(httpx.Response(200, json={})))

    with MlflowRegistry(ADDRESS, transport=transport) as registry:
        registry.list_models()

    assert transport.closed

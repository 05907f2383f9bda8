"""The registry over MLflow's REST API, with httpx: importing MLflow's client takes seconds and 170 MB of memory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from slipway_core.bundle import MANIFEST_FILE, MLMODEL_FILE, REFERENCE_FILE
from slipway_core.errors import (
    ConfigurationError,
    NotRegisteredError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE
from slipway_core.registry import mlflow_responses
from slipway_core.registry.base import ModelVersion, RegisteredModel
from slipway_core.registry.limits import Limits, deadline, enforce_deadlines, read_response, write_file

API = "/api/2.0/mlflow"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PAGE_SIZE = 200

# MLflow's ONNX flavor puts the graph at the root of its folder, and additional files into `extra_files`.
EXTRA_FILES = "extra_files"
ARTIFACT_PATHS = {
    MODEL_FILE: MODEL_FILE,
    MLMODEL_FILE: MLMODEL_FILE,
    **{name: f"{EXTRA_FILES}/{name}" for name in (MANIFEST_FILE, GOLDEN_FILE, REFERENCE_FILE)},
}


class MlflowRegistry:
    """The registered models of an MLflow server. Thread-safe; close it after use."""

    def __init__(
        self,
        tracking_uri: str,
        *,
        username: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 10.0,
        transport: httpx.BaseTransport | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self.tracking_uri = tracking_uri.rstrip("/")
        try:
            base_url = httpx.URL(self.tracking_uri)
        except httpx.InvalidURL as error:
            raise ConfigurationError("MLFLOW_TRACKING_URI is not a valid address; write http://host:5000") from error
        self._client = httpx.Client(
            base_url=base_url,
            auth=(username, password or "") if username else None,
            timeout=httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, 3.0)),
            transport=transport,
            # A small compressed response could fill the memory.
            headers={"Accept-Encoding": "identity"},
            # Connect to this machine directly, never through a proxy.
            trust_env=base_url.host not in LOOPBACK,
        )
        enforce_deadlines(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def list_models(self) -> list[RegisteredModel]:
        """Return every registered model with its aliases and tags."""
        pages = self._pages("registered-models/search", {}, "registered_models")
        return [mlflow_responses.registered_model(item) for item in pages]

    def get_model(self, name: str) -> RegisteredModel:
        """Return one registered model."""
        try:
            answer = self._get("registered-models/get", {"name": name})
        except RegistryNotFoundError as error:
            raise type(error)(
                f"no model named {name} is registered; `slipway models list` lists the registered models"
            ) from error
        model = mlflow_responses.registered_model(mlflow_responses.item(answer, "registered_model"))
        if model.name != name:
            raise RegistryError("the model registry returned another model: check MLFLOW_TRACKING_URI")
        return model

    def list_versions(self, name: str) -> list[ModelVersion]:
        """Return a model's versions, the newest first."""
        self.get_model(name)
        # MLflow's filters have no escape sequence: use the quote that the name does not contain.
        quote = '"' if "'" in name else "'"
        items = self._pages("model-versions/search", {"filter": f"name={quote}{name}{quote}"}, "model_versions")
        versions = (mlflow_responses.model_version(item) for item in items)
        return sorted(versions, key=lambda version: int(version.version), reverse=True)

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version of a model."""
        number = _number(name, version)
        try:
            answer = self._get("model-versions/get", {"name": name, "version": number})
        except RegistryNotFoundError as error:
            raise _no_version(name, version, type(error)) from error
        found = mlflow_responses.model_version(mlflow_responses.item(answer, "model_version"))
        if (found.name, int(found.version)) != (name, int(number)):
            raise RegistryError("the model registry returned another version: check MLFLOW_TRACKING_URI")
        return found

    def fetch(self, version: ModelVersion, file: str, destination: Path) -> None:
        """Write one file of the version's bundle to `destination`, streamed."""
        params = {"name": version.name, "version": version.version, "path": ARTIFACT_PATHS[file]}
        _number(version.name, version.version)
        request = self._client.build_request("GET", "/model-versions/get-artifact", params=params)
        try:
            with deadline(self._limits.fetch_seconds):
                response = self._client.send(request, stream=True)
                try:
                    self._check_file(response, f"{file} of version {version.version} of {version.name}")
                    write_file(response, file, destination, self._limits)
                finally:
                    response.close()
        except httpx.HTTPError as error:
            raise _unavailable(error) from error

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self._post("registered-models/alias", {"name": name, "alias": alias, "version": _number(name, version)})

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias from a model."""
        body = {"name": name, "alias": alias}
        self._send(self._client.build_request("DELETE", f"{API}/registered-models/alias", json=body))

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a registered model."""
        self._post("registered-models/set-tag", {"name": name, "key": key, "value": value})

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a model version."""
        body = {"name": name, "version": _number(name, version), "key": key, "value": value}
        self._post("model-versions/set-tag", body)

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Delete a tag of a model version."""
        body = {"name": name, "version": _number(name, version), "key": key}
        self._send(self._client.build_request("DELETE", f"{API}/model-versions/delete-tag", json=body))

    def _get(self, call: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        return self._send(self._client.build_request("GET", f"{API}/{call}", params=dict(params)))

    def _post(self, call: str, body: Mapping[str, str]) -> dict[str, Any]:
        return self._send(self._client.build_request("POST", f"{API}/{call}", json=dict(body)))

    def _pages(self, call: str, params: Mapping[str, str], key: str) -> list[Any]:
        items: list[Any] = []
        token = ""
        with deadline(self._limits.list_seconds):
            for _ in range(self._limits.pages):
                page: dict[str, str | int] = {**params, "max_results": PAGE_SIZE}
                if token:
                    page["page_token"] = token
                found, token = mlflow_responses.page(self._get(call, page), key)
                items += found
                if not token:
                    return items
        raise RegistryError(f"the model registry's list has more than {self._limits.pages} pages: check the registry")

    def _send(self, request: httpx.Request) -> dict[str, Any]:
        try:
            with deadline(self._limits.answer_seconds):
                response = self._client.send(request, stream=True)
                try:
                    content = read_response(response, self._limits.answer_bytes)
                finally:
                    response.close()
        except httpx.HTTPError as error:
            raise _unavailable(error) from error
        if response.is_error:
            self._raise_for(response.status_code, content, "the request")
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RegistryError("the model registry's response is not JSON: check MLFLOW_TRACKING_URI") from error
        if not isinstance(answer, dict):
            raise RegistryError("the model registry's response is not a JSON object: check MLFLOW_TRACKING_URI")
        return answer

    def _check_file(self, response: httpx.Response, what: str) -> None:
        """Check that a response is a file. For a missing file, MLflow answers 404 or 500, depending on its store."""
        if response.status_code == httpx.codes.NOT_FOUND:
            # MLflow's own message would show a path in its artifact store.
            raise RegistryNotFoundError(f"the model registry does not have {what}")
        if response.is_error:
            self._raise_for(response.status_code, read_response(response, self._limits.answer_bytes), what)
        if response.status_code != httpx.codes.OK:
            raise RegistryError(
                f"the model registry answered {response.status_code} instead of {what}: check MLFLOW_TRACKING_URI"
            )

    def _raise_for(self, status: int, content: bytes, what: str) -> None:
        """Raise Slipway's own error for an error response."""
        try:
            body = json.loads(content)
            code, message = str(body.get("error_code", "")), str(body.get("message", ""))
        except (ValueError, AttributeError, RecursionError):
            code, message = "", ""
        if code == "RESOURCE_DOES_NOT_EXIST":
            raise NotRegisteredError(message or f"the model registry does not have {what}")
        if status == httpx.codes.NOT_FOUND:
            raise RegistryNotFoundError(message or f"the model registry does not have {what}")
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise RegistryError(
                f"the model registry refused access ({status}): check MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, and that the server allows this host name"
            )
        if status in {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT}:
            raise RegistryUnavailableError(f"the model registry is not available ({status})")
        # The message of a server error describes internals, which belong in the server's own log.
        detail = f": {message}" if message and httpx.codes.is_client_error(status) else ""
        raise RegistryError(f"the model registry failed at {what} ({status}){detail}")


def _unavailable(error: httpx.HTTPError) -> RegistryUnavailableError:
    if isinstance(error, httpx.TimeoutException):
        return RegistryUnavailableError("the model registry did not respond in time")
    return RegistryUnavailableError("the model registry cannot be reached")


def _number(name: str, version: str) -> str:
    """Return a version as given; MLflow answers 400 for one that is not a whole number."""
    if not (version.isascii() and version.isdecimal()):
        raise _no_version(name, version)
    return version


def _no_version(
    name: str, version: str, kind: type[RegistryNotFoundError] = RegistryNotFoundError
) -> RegistryNotFoundError:
    return kind(
        f"version {version} of {name} does not exist; `slipway models list` lists the models, and "
        f"`slipway models show {name}` the versions of this one"
    )

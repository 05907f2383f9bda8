"""The registry over MLflow's REST API, with httpx alone: the full client costs seconds and 170 MB to import."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from slipway_core.bundle import GOLDEN_FILE, MANIFEST_FILE, MLMODEL_FILE, MODEL_FILE, REFERENCE_FILE
from slipway_core.errors import ConfigurationError, RegistryError, RegistryNotFoundError, RegistryUnavailableError
from slipway_core.registry.base import ModelVersion, RegisteredModel

API = "/api/2.0/mlflow"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PAGE_SIZE = 1_000

# MLflow's ONNX flavor puts the graph at the root of its folder and what else it is given into `extra_files`.
EXTRA_FILES = "extra_files"
ARTIFACT_PATHS = {
    MODEL_FILE: MODEL_FILE,
    MLMODEL_FILE: MLMODEL_FILE,
    **{name: f"{EXTRA_FILES}/{name}" for name in (MANIFEST_FILE, GOLDEN_FILE, REFERENCE_FILE)},
}


class MlflowRegistry:
    """The models that an MLflow server has registered. Thread-safe; close it when it is no longer needed."""

    def __init__(
        self,
        tracking_uri: str,
        *,
        username: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.tracking_uri = tracking_uri.rstrip("/")
        try:
            base_url = httpx.URL(self.tracking_uri)
        except httpx.InvalidURL as error:
            raise ConfigurationError("MLFLOW_TRACKING_URI is not an address; write http://host:5000") from error
        self._client = httpx.Client(
            base_url=base_url,
            auth=(username, password or "") if username else None,
            timeout=httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, 3.0)),
            transport=transport,
            # A proxy leads elsewhere; what is on this machine is reached directly.
            trust_env=base_url.host not in LOOPBACK,
        )

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
        return [_model(item) for item in pages]

    def get_model(self, name: str) -> RegisteredModel:
        """Return one registered model."""
        try:
            answer = self._get("registered-models/get", {"name": name})
        except RegistryNotFoundError as error:
            raise RegistryNotFoundError(
                f"no model named {name} is registered; `slipway models list` lists those that are"
            ) from error
        return _model(_item(answer, "registered_model"))

    def list_versions(self, name: str) -> list[ModelVersion]:
        """Return a model's versions, the newest first."""
        self.get_model(name)
        # MLflow's filters know no escape: take the quote that the name does not hold.
        quote = '"' if "'" in name else "'"
        items = self._pages("model-versions/search", {"filter": f"name={quote}{name}{quote}"}, "model_versions")
        return sorted((_version(item) for item in items), key=lambda item: int(item.version), reverse=True)

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version of a model."""
        number = _number(name, version)
        try:
            answer = self._get("model-versions/get", {"name": name, "version": number})
        except RegistryNotFoundError as error:
            raise _no_version(name, version) from error
        return _version(_item(answer, "model_version"))

    def fetch(self, version: ModelVersion, file: str, destination: Path) -> None:
        """Write one file of the version's bundle to `destination`, streamed."""
        params = {"name": version.name, "version": version.version, "path": ARTIFACT_PATHS[file]}
        _number(version.name, version.version)
        request = self._client.build_request("GET", "/model-versions/get-artifact", params=params)
        try:
            response = self._client.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                    # The server answers 404 or 500 for a file that its store does not hold, depending on the store.
                    what = f"{file} of version {version.version} of {version.name}"
                    if response.status_code == httpx.codes.NOT_FOUND:
                        # Not in the server's words, which name the place in its store.
                        raise RegistryNotFoundError(f"the model registry does not hold {what}")
                    self._raise_for(response, what)
                with destination.open("wb") as out:
                    for chunk in response.iter_bytes():
                        out.write(chunk)
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise _unavailable(error) from error

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self._post("registered-models/alias", {"name": name, "alias": alias, "version": _number(name, version)})

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

    def _pages(self, call: str, params: Mapping[str, str], key: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self._get(call, {**params, "max_results": PAGE_SIZE, **({"page_token": token} if token else {})})
            items += page.get(key, [])
            token = page.get("next_page_token", "")
            if not token:
                return items

    def _send(self, request: httpx.Request) -> dict[str, Any]:
        try:
            response = self._client.send(request)
        except httpx.HTTPError as error:
            raise _unavailable(error) from error
        if response.is_error:
            self._raise_for(response, "what was asked for")
        try:
            answer = response.json()
        except ValueError as error:
            raise RegistryError("the model registry did not answer in JSON: is its address right?") from error
        if not isinstance(answer, dict):
            raise RegistryError("the model registry answered something else than an object: is its address right?")
        return answer

    def _raise_for(self, response: httpx.Response, what: str) -> None:
        """Turn an error answer into our own error."""
        status = response.status_code
        try:
            body = response.json()
            code, message = str(body.get("error_code", "")), str(body.get("message", ""))
        except (ValueError, AttributeError):
            code, message = "", ""
        if code == "RESOURCE_DOES_NOT_EXIST" or status == httpx.codes.NOT_FOUND:
            raise RegistryNotFoundError(message or f"the model registry does not hold {what}")
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise RegistryError(
                f"the model registry refused access ({status}): check MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, and that the server allows this host name"
            )
        if status in {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT}:
            raise RegistryUnavailableError(f"the model registry is not available ({status})")
        # Of a fault of its own the server tells its inner life, which goes to its own log.
        told = f": {message}" if message and response.is_client_error else ""
        raise RegistryError(f"the model registry failed at {what} ({status})" + told)


def _unavailable(error: httpx.HTTPError) -> RegistryUnavailableError:
    if isinstance(error, httpx.TimeoutException):
        return RegistryUnavailableError("the model registry does not answer in time")
    return RegistryUnavailableError("the model registry cannot be reached")


def _model(item: Mapping[str, Any]) -> RegisteredModel:
    return RegisteredModel(
        name=item["name"],
        description=item.get("description", ""),
        aliases={a["alias"]: str(a["version"]) for a in item.get("aliases", [])},
        tags={tag["key"]: tag.get("value", "") for tag in item.get("tags", [])},
        created_at=float(item.get("creation_timestamp", 0)) / 1000,
    )


def _version(item: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        name=item["name"],
        version=str(item["version"]),
        run_id=item.get("run_id", ""),
        description=item.get("description", ""),
        tags={tag["key"]: tag.get("value", "") for tag in item.get("tags", [])},
        created_at=float(item.get("creation_timestamp", 0)) / 1000,
    )


def _item(answer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    item = answer.get(key)
    if not isinstance(item, dict):
        raise RegistryError("the model registry did not answer what was asked: is its address right?")
    return item


def _number(name: str, version: str) -> str:
    """Return a version as it is; the server answers 400 for one that is not a whole number."""
    if not (version.isascii() and version.isdecimal()):
        raise _no_version(name, version)
    return version


def _no_version(name: str, version: str) -> RegistryNotFoundError:
    return RegistryNotFoundError(
        f"there is no version {version} of {name}; `slipway models show {name}` lists those there are"
    )

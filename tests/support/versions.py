"""Model versions created by hand in a real MLflow server, complete or damaged."""

from collections.abc import Mapping

import httpx

from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, digest
from slipway_core.registry.mlflow import ARTIFACT_PATHS


def add_version(mlflow_url: str, name: str, files: Mapping[str, bytes], *, tag: str | None = None) -> str:
    """Upload a bundle's files and register them as a new version.

    Args:
        mlflow_url: the server's address.
        name: the model's name; a new model is created.
        files: the bundle's files by name.
        tag: the manifest's digest in the version's tag; by default the correct one.
    """
    with httpx.Client(base_url=mlflow_url, timeout=30) as client:
        # MLflow accepts a version's files only from its own run or logged model.
        run = client.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).raise_for_status().json()["run"]
        source = f"{run['info']['artifact_uri']}/bundle"
        for file, content in files.items():
            path = f"{source.removeprefix('mlflow-artifacts:/')}/{ARTIFACT_PATHS[file]}"
            client.put(f"/api/2.0/mlflow-artifacts/artifacts/{path}", content=content).raise_for_status()
        client.post("/api/2.0/mlflow/registered-models/create", json={"name": name})
        tags = {MANIFEST_TAG: digest(files[MANIFEST_FILE]) if tag is None else tag}
        body = {
            "name": name,
            "source": source,
            "run_id": run["info"]["run_id"],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        answer = client.post("/api/2.0/mlflow/model-versions/create", json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["model_version"]["version"])

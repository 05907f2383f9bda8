"""Signatures in a real MLflow: the commands of docs/signing.md, a replaced bundle, and the upgrade of a registry."""

import json
import re
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway_api.accounts.models import Role
from slipway_cli.stack_jobs.init import SIGNED_FILE, sign_once
from slipway_cli.stack_jobs.settings import InitSettings
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, digest
from slipway_core.registry import PRODUCTION
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.mlflow import ARTIFACT_PATHS, MlflowRegistry
from slipway_core.registry.promotion import promote, rollback
from slipway_core.registry.sign_existing import sign_model
from slipway_core.registry.signatures import checked_events
from slipway_core.signing import Signer
from slipway_core.signing.files import create_key, read_trusted_keys
from slipway_core.signing.messages import SIGNATURE_TAG
from support.api import Database, RunningApi, make_database, running_api
from support.bundles import bundle_files
from support.servers import mlflow_server
from support.signing import other_files, promote_signed, register_signed
from support.stack import bash
from support.versions import add_version
from support.waiting import wait_for

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/signing.md").read_text(encoding="utf-8")
ROW = {"features": [5.1, 3.5, 1.4, 0.2]}


@dataclass
class Keys:
    signer: Signer
    signing_key: Path
    trusted_keys: Path


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    path, trusted = tmp_path / "keys" / "trainer.pem", tmp_path / "keys" / "trusted-keys"
    signer = create_key(path)
    trusted.write_text(f"{signer.public_key('trainer')}\n", encoding="utf-8")
    return Keys(signer, path, trusted)


@contextmanager
def api_of(
    registry: MlflowRegistry, folder: Path, database: Database, name: str, **settings: Any
) -> Iterator[RunningApi]:
    """Run an API with its files in a folder."""
    fields: dict[str, Any] = {"default_model": name, "registry_poll_seconds": 0.2, **settings}
    with running_api(folder, registry, database, ready=False, **fields) as api:
        yield api


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return make_database(tmp_path / "template.db")


def served(api: RunningApi, name: str) -> str | None:
    model = api.app.state.models.served.get(name)
    return None if model is None else model.version


@pytest.mark.slow
def test_commands_of_the_page_sign_and_replace_a_key(tmp_path: Path, database: Database) -> None:
    """The shell blocks of the page, in order, in one terminal."""
    commands = re.findall(r"^ *```sh\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    with mlflow_server(tmp_path) as url, MlflowRegistry(url) as registry:
        for shift in (0.0, 0.25):
            version = add_version(url, "iris", other_files(shift=shift))
            promote(registry, "iris", version, by="ana", at=datetime.now(UTC), reason="before signatures")
        settings = f"set -e\nexport PATH={Path(sys.prefix) / 'bin'}:$PATH MLFLOW_TRACKING_URI={url}\n"
        output = bash(settings + "\n".join(commands), tmp_path)
        assert "Signed 2 versions of iris" in output
        assert "signed: trainer" in output
        assert "Signed version 1 of iris" in output
        trusted = read_trusted_keys(tmp_path / "keys" / "trusted-keys")
        assert trusted is not None
        assert [key.name for key in trusted] == ["api", "trainer-2"]
        assert all(event.key is not None for event in checked_events(registry.get_model("iris"), trusted))
        with api_of(
            registry, tmp_path / "api", database, "iris", trusted_keys=tmp_path / "keys" / "trusted-keys"
        ) as api:
            wait_for(lambda: served(api, "iris") == "2", what="the version that the new key signed")
    assert "PRIVATE" not in output


@pytest.mark.slow
def test_replaced_bundle_is_refused_and_the_served_one_stays(
    mlflow_url: str, tmp_path: Path, database: Database, keys: Keys
) -> None:
    name = f"signed-{uuid.uuid4().hex}"
    settings = {"trusted_keys": keys.trusted_keys}
    with MlflowRegistry(mlflow_url) as registry:
        version = add_version(mlflow_url, name, bundle_files(name))
        promote(registry, name, version, by="ana", at=datetime.now(UTC), reason="")
        sign_model(registry, name, keys.signer, by="ana", echo=pytest.fail)
        with api_of(registry, tmp_path / "api", database, name, **settings) as api:
            wait_for(lambda: served(api, name) == version, what="the signed version")
            replace_bundle(mlflow_url, name, version, other_files(name))
            unsigned = add_version(mlflow_url, name, other_files(name, 0.5))
            registry.set_alias(name, PRODUCTION, unsigned)
            wait_for(lambda: api.app.state.models.failure(name) is not None, what="the refusal")
            assert served(api, name) == version
            wait_for(lambda: api.get(f"/models/{name}", role=Role.USER).is_success, what="the accounts")
            answer = api.post(f"/models/{name}/predict", role=Role.USER, json=ROW)
            assert answer.json()["label"] == ["setosa"]
            reason = api.get(f"/models/{name}", role=Role.USER).json()["failed_load"]["reason"]
            assert f"slipway models promote {name} {unsigned}" in reason
        with api_of(registry, tmp_path / "replica", database, name, **settings) as api:
            wait_for(lambda: api.app.state.models.failure(name) is not None, what="the refusal of a new replica")
            assert served(api, name) is None
            assert "was changed after it was signed" in api.get("/health/ready").text


def replace_bundle(url: str, name: str, version: str, files: dict[str, bytes]) -> None:
    """Replace the files of a version in the artifact store, and its digest."""
    with httpx.Client(base_url=url, timeout=30) as client:
        params = {"name": name, "version": version}
        found = client.get("/api/2.0/mlflow/model-versions/get", params=params).raise_for_status().json()
        folder = found["model_version"]["source"].removeprefix("mlflow-artifacts:/")
        for file, content in files.items():
            path = f"/api/2.0/mlflow-artifacts/artifacts/{folder}/{ARTIFACT_PATHS[file]}"
            client.put(path, content=content).raise_for_status()
    with MlflowRegistry(url) as registry:
        registry.set_version_tag(name, version, MANIFEST_TAG, digest(files[MANIFEST_FILE]))


@pytest.mark.slow
def test_upgrade_of_an_unsigned_registry_loses_no_request(
    mlflow_url: str, tmp_path: Path, database: Database, keys: Keys
) -> None:
    """The API without trusted keys serves while `init` signs; the API that trusts them then serves the same version."""
    name = f"unsigned-{uuid.uuid4().hex}"
    with MlflowRegistry(mlflow_url) as registry:
        for shift in (0.0, 0.25):
            version = add_version(mlflow_url, name, other_files(name, shift))
            promote(registry, name, version, by="ana", at=datetime.now(UTC), reason="before signatures")
        statuses: list[int] = []
        with api_of(registry, tmp_path / "api", database, name) as old:
            wait_for(lambda: served(old, name) == version, what="the version of the old release")
            wait_for(lambda: old.post("/predict", role=Role.USER, json=ROW).is_success, what="the accounts")
            with predicting(old, statuses):
                settings = InitSettings(
                    mlflow_tracking_uri=mlflow_url,
                    database_url="sqlite://",
                    admin_password="correct-horse",
                    signing_key_file=keys.signing_key,
                    trusted_keys=keys.trusted_keys,
                )
                notes: list[str] = []
                sign_once(settings, notes.append)
                wait_for(lambda: len(statuses) > 20, what="requests to the old API")
            with api_of(registry, tmp_path / "api", database, name, trusted_keys=keys.trusted_keys) as new:
                wait_for(lambda: served(new, name) == version, what="the version in the new API")
                # It also reads the accounts at its start.
                wait_for(lambda: new.post("/predict", role=Role.USER, json=ROW).is_success, what="the accounts")
                with predicting(new, statuses):
                    event = rollback(
                        registry,
                        name,
                        by="ana",
                        at=datetime.now(UTC),
                        reason="",
                        signer=keys.signer,
                        trusted=read_trusted_keys(keys.trusted_keys),
                    )
                    wait_for(lambda: served(new, name) == event.version, what="the version that was rolled back to")
                assert new.app.state.models.failure(name) is None
    assert set(statuses) == {200}
    assert f"Signed 2 versions of {name} with the key {keys.signer.key_id}." in notes
    assert (keys.signing_key.parent / SIGNED_FILE).exists()


@contextmanager
def predicting(api: RunningApi, statuses: list[int]) -> Iterator[None]:
    """Predict without a pause until the block ends."""
    stop = threading.Event()

    def predict() -> None:
        while not stop.is_set():
            statuses.append(api.post("/predict", role=Role.USER, json=ROW).status_code)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_later_start_does_not_sign_what_was_added(mlflow_url: str, keys: Keys) -> None:
    name = f"planted-{uuid.uuid4().hex}"
    (keys.signing_key.parent / SIGNED_FILE).touch()
    version = add_version(mlflow_url, name, bundle_files(name))
    settings = InitSettings(
        mlflow_tracking_uri=mlflow_url,
        database_url="sqlite://",
        admin_password="correct-horse",
        signing_key_file=keys.signing_key,
    )
    with MlflowRegistry(mlflow_url) as registry:
        registry.set_alias(name, PRODUCTION, version)
        sign_once(settings, pytest.fail)
        assert SIGNATURE_TAG not in registry.get_version(name, version).tags


def test_signed_tags_fit_into_mlflow(keys: Keys) -> None:
    """MLflow on PostgreSQL stores at most 5,000 characters per tag."""
    registry = InMemoryRegistry()
    number = register_signed(registry, keys.signer)
    promote_signed(registry, keys.signer, number)
    sizes = [len(value) for value in registry.get_model("iris").tags.values()]
    sizes += [len(value) for value in registry.get_version("iris", number).tags.values()]
    assert max(sizes) < 1000
    assert json.loads(registry.get_version("iris", number).tags[SIGNATURE_TAG])["digest"].startswith("sha256:")

"""The contract of the registry, for a real MLflow server and for the registry in memory."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway_core.bundle import MANIFEST_FILE, REFERENCE_FILE, digest, read_bundle
from slipway_core.errors import RegistryNotFoundError
from slipway_core.graph import Graph, replay
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE
from slipway_core.registry import PRODUCTION, STAGING, ModelVersion, Registry
from slipway_core.registry import mlflow as mlflow_registry
from slipway_core.registry.events import history
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.mlflow import API, ARTIFACT_PATHS, MlflowRegistry
from slipway_core.registry.promotion import DATA_VERSION_TAG, METRICS_TAG, promote
from slipway_core.table_signature import signature_of
from support.bundles import bundle_files

pytestmark = pytest.mark.slow

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class MemoryShelf:
    """The registry in memory, and the changes that others make to it."""

    def __init__(self) -> None:
        self.registry = InMemoryRegistry()

    def add(
        self, name: str, files: Mapping[str, bytes] | None = None, tags: Mapping[str, str] | None = None
    ) -> ModelVersion:
        return self.registry.add_version(name, files or {}, run_id=uuid.uuid4().hex, tags=tags)

    def delete_model(self, name: str) -> None:
        self.registry.delete_model(name)

    def delete_alias(self, name: str, alias: str) -> None:
        self.registry.delete_alias(name, alias)


class MlflowShelf:
    """A real server, and the changes that others make to it over its REST API."""

    def __init__(self, url: str) -> None:
        self.registry = MlflowRegistry(url)
        self._client = httpx.Client(base_url=url, timeout=30)
        # MLflow takes a version's files only from below a run's.
        self._run = self._call("POST", "runs/create", {"experiment_id": "0"}).json()["run"]["info"]

    def add(
        self, name: str, files: Mapping[str, bytes] | None = None, tags: Mapping[str, str] | None = None
    ) -> ModelVersion:
        made = self._call("POST", "registered-models/create", {"name": name})
        assert made.is_success or made.json()["error_code"] == "RESOURCE_ALREADY_EXISTS", made.text
        source = f"{self._run['artifact_uri']}/{uuid.uuid4().hex}"
        folder = source.removeprefix("mlflow-artifacts:/")
        for file, content in (files or {}).items():
            path = f"/api/2.0/mlflow-artifacts/artifacts/{folder}/{ARTIFACT_PATHS[file]}"
            self._client.put(path, content=content).raise_for_status()
        run_id = str(self._run["run_id"])
        body = {
            "name": name,
            "source": source,
            "run_id": run_id,
            "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()],
        }
        created = self._call("POST", "model-versions/create", body).raise_for_status().json()["model_version"]
        return ModelVersion(name, str(created["version"]), run_id, tags=dict(tags or {}))

    def delete_model(self, name: str) -> None:
        self._call("DELETE", "registered-models/delete", {"name": name}).raise_for_status()

    def delete_alias(self, name: str, alias: str) -> None:
        self._call("DELETE", "registered-models/alias", {"name": name, "alias": alias}).raise_for_status()

    def close(self) -> None:
        self.registry.close()
        self._client.close()

    def _call(self, method: str, call: str, body: Mapping[str, Any]) -> httpx.Response:
        return self._client.request(method, f"{API}/{call}", json=body)


@pytest.fixture(scope="module")
def mlflow_shelf(mlflow_url: str) -> Iterator[MlflowShelf]:
    shelf = MlflowShelf(mlflow_url)
    yield shelf
    shelf.close()


Shelf = MemoryShelf | MlflowShelf


@pytest.fixture(params=["memory", "mlflow"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    if request.param == "memory":
        return MemoryShelf()
    found: MlflowShelf = request.getfixturevalue("mlflow_shelf")
    return found


@pytest.fixture
def name() -> str:
    """A unique name of a model."""
    return f"iris-{uuid.uuid4().hex}"


class TestRegistry:
    """The contract of `Registry`."""

    def test_model_is_listed_with_its_aliases_and_tags(self, shelf: Shelf, name: str) -> None:
        version = shelf.add(name)
        shelf.registry.set_alias(name, PRODUCTION, version.version)
        shelf.registry.set_model_tag(name, "team", "botany")

        listed = {model.name: model for model in shelf.registry.list_models()}

        assert listed[name] == shelf.registry.get_model(name)
        assert listed[name].aliases == {PRODUCTION: "1"}
        assert listed[name].tags == {"team": "botany"}

    def test_a_new_model_has_neither_aliases_nor_tags(self, shelf: Shelf, name: str) -> None:
        shelf.add(name, tags={"of the version": "not of the model"})

        model = shelf.registry.get_model(name)

        assert (model.aliases, model.tags, model.description) == ({}, {}, "")

    def test_version_is_read_as_registered(self, shelf: Shelf, name: str) -> None:
        before = time.time()
        added = shelf.add(name, tags={METRICS_TAG: '{"accuracy": 0.97}'})

        version = shelf.registry.get_version(name, added.version)

        assert (version.name, version.version, version.run_id) == (name, "1", added.run_id)
        assert version.tags == {METRICS_TAG: '{"accuracy": 0.97}'}
        # The server keeps milliseconds.
        assert before - 0.001 <= version.created_at <= time.time()

    def test_versions_are_listed_newest_first(self, shelf: Shelf, name: str) -> None:
        for _ in range(11):
            shelf.add(name)

        versions = [version.version for version in shelf.registry.list_versions(name)]

        assert versions == [str(number) for number in range(11, 0, -1)]

    @pytest.mark.parametrize("odd", ["it's", 'say "hello"', "naïve 100%", "a;b--c", "back\\slash"])
    def test_name_of_a_model_may_have_any_characters(self, shelf: Shelf, name: str, odd: str) -> None:
        shelf.add(f"{odd} {name}", tags={"team": "botany"})

        (version,) = shelf.registry.list_versions(f"{odd} {name}")

        assert version == shelf.registry.get_version(f"{odd} {name}", "1")

    def test_model_lists_only_its_versions(self, shelf: Shelf, name: str) -> None:
        shelf.add(name)
        shelf.add(f"{name}-other")
        shelf.add(f"{name}-other")

        assert [version.name for version in shelf.registry.list_versions(name)] == [name]

    def test_each_alias_moves_alone(self, shelf: Shelf, name: str) -> None:
        first, second = shelf.add(name), shelf.add(name)
        shelf.registry.set_alias(name, PRODUCTION, first.version)
        shelf.registry.set_alias(name, "Shadow", first.version)

        shelf.registry.set_alias(name, "Shadow", second.version)

        assert shelf.registry.get_model(name).aliases == {PRODUCTION: "1", "Shadow": "2"}

    def test_removed_alias_is_not_listed(self, shelf: Shelf, name: str) -> None:
        version = shelf.add(name)
        shelf.registry.set_alias(name, PRODUCTION, version.version)

        shelf.delete_alias(name, PRODUCTION)

        assert shelf.registry.get_model(name).aliases == {}

    def test_deleted_alias_leaves_the_others(self, shelf: Shelf, name: str) -> None:
        version = shelf.add(name)
        for alias in (PRODUCTION, STAGING, "candidate-b", "candidate-a"):
            shelf.registry.set_alias(name, alias, version.version)

        shelf.registry.delete_alias(name, STAGING)

        model = shelf.registry.get_model(name)
        assert model.aliases == {PRODUCTION: "1", "candidate-b": "1", "candidate-a": "1"}
        assert list(model.candidates.items()) == [("a", "1"), ("b", "1")]

    @pytest.mark.parametrize("value", ["botany", "", "Grüße, 花", "two\nlines", '{"a": "b"}', "x" * 20_000])
    def test_tag_of_a_model_is_read_as_set(self, shelf: Shelf, name: str, value: str) -> None:
        shelf.add(name)
        shelf.registry.set_model_tag(name, "slipway.note", "what it was before")

        shelf.registry.set_model_tag(name, "slipway.note", value)

        assert shelf.registry.get_model(name).tags == {"slipway.note": value}

    @pytest.mark.parametrize("value", ["botany", "", "Grüße, 花"])
    def test_tag_of_a_version_is_read_as_set(self, shelf: Shelf, name: str, value: str) -> None:
        first, second = shelf.add(name, tags={"slipway.note": "before"}), shelf.add(name)

        shelf.registry.set_version_tag(name, first.version, "slipway.note", value)

        assert shelf.registry.get_version(name, first.version).tags == {"slipway.note": value}
        assert shelf.registry.get_version(name, second.version).tags == {}

    def test_bundle_is_fetched_as_registered(self, shelf: Shelf, name: str, tmp_path: Path) -> None:
        files = bundle_files()
        shelf.add(name, files)
        version = shelf.registry.get_version(name, "1")

        for file in (MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE, REFERENCE_FILE):
            shelf.registry.fetch(version, file, tmp_path / file)

        assert {file: (tmp_path / file).read_bytes() for file in files} == files
        bundle = read_bundle(tmp_path, digest(files[MANIFEST_FILE]))
        replay(Graph(bundle.model, bundle.manifest.graph), bundle.golden, signature_of(bundle.manifest))

    def test_each_version_has_separate_files(self, shelf: Shelf, name: str, tmp_path: Path) -> None:
        versions = [shelf.add(name, {MODEL_FILE: content}) for content in (b"first", b"second")]

        for version in versions:
            shelf.registry.fetch(version, MODEL_FILE, tmp_path / version.version)

        assert [(tmp_path / number).read_bytes() for number in ("1", "2")] == [b"first", b"second"]

    def test_fetched_file_replaces_the_existing_one(self, shelf: Shelf, name: str, tmp_path: Path) -> None:
        version = shelf.add(name, {MODEL_FILE: b"new"})
        (tmp_path / MODEL_FILE).write_bytes(b"old and longer")

        shelf.registry.fetch(version, MODEL_FILE, tmp_path / MODEL_FILE)

        assert (tmp_path / MODEL_FILE).read_bytes() == b"new"

    @pytest.mark.parametrize("file", [MODEL_FILE, GOLDEN_FILE])
    def test_missing_file_of_a_version_is_not_found(self, shelf: Shelf, name: str, tmp_path: Path, file: str) -> None:
        version = shelf.add(name, {MANIFEST_FILE: b"{}"})

        with pytest.raises(RegistryNotFoundError):
            shelf.registry.fetch(version, file, tmp_path / file)

        assert not (tmp_path / file).exists()

    @pytest.mark.parametrize("number", ["2", "0", "three"])
    @pytest.mark.parametrize(
        "call",
        [
            lambda registry, name, number, _: registry.get_version(name, number),
            lambda registry, name, number, _: registry.set_alias(name, PRODUCTION, number),
            lambda registry, name, number, _: registry.set_version_tag(name, number, "team", "botany"),
            lambda registry, name, number, file: registry.fetch(ModelVersion(name, number), MODEL_FILE, file),
        ],
        ids=["get_version", "set_alias", "set_version_tag", "fetch"],
    )
    def test_unknown_version_raises_and_changes_nothing(
        self, shelf: Shelf, name: str, tmp_path: Path, number: str, call: Callable[[Registry, str, str, Path], object]
    ) -> None:
        shelf.add(name, {MODEL_FILE: b"graph"})
        shelf.registry.set_alias(name, PRODUCTION, "1")
        before = shelf.registry.get_model(name), shelf.registry.list_versions(name)

        with pytest.raises(RegistryNotFoundError):
            call(shelf.registry, name, number, tmp_path / "file")

        assert (shelf.registry.get_model(name), shelf.registry.list_versions(name)) == before

    @pytest.mark.parametrize(
        "call",
        [
            lambda registry, name, _: registry.get_model(name),
            lambda registry, name, _: registry.list_versions(name),
            lambda registry, name, _: registry.get_version(name, "1"),
            lambda registry, name, _: registry.set_alias(name, PRODUCTION, "1"),
            lambda registry, name, _: registry.set_model_tag(name, "team", "botany"),
            lambda registry, name, _: registry.set_version_tag(name, "1", "team", "botany"),
            lambda registry, name, file: registry.fetch(ModelVersion(name, "1"), MODEL_FILE, file),
        ],
        ids=["get_model", "list_versions", "get_version", "set_alias", "set_model_tag", "set_version_tag", "fetch"],
    )
    def test_unknown_model_raises_and_is_not_created(
        self, shelf: Shelf, name: str, tmp_path: Path, call: Callable[[Registry, str, Path], object]
    ) -> None:
        with pytest.raises(RegistryNotFoundError):
            call(shelf.registry, name, tmp_path / "file")

        assert name not in {model.name for model in shelf.registry.list_models()}

    def test_deleted_model_has_no_versions_or_files(self, shelf: Shelf, name: str, tmp_path: Path) -> None:
        version = shelf.add(name, {MODEL_FILE: b"graph"})

        shelf.delete_model(name)

        assert name not in {model.name for model in shelf.registry.list_models()}
        with pytest.raises(RegistryNotFoundError):
            shelf.registry.list_versions(name)
        with pytest.raises(RegistryNotFoundError):
            shelf.registry.fetch(version, MODEL_FILE, tmp_path / "file")

    def test_promotions_move_production_and_are_recorded(self, shelf: Shelf, name: str) -> None:
        tags = {METRICS_TAG: '{"accuracy": 0.97}', DATA_VERSION_TAG: digest(b"data")}
        for _ in range(2):
            shelf.add(name, tags=tags)

        events = [
            promote(shelf.registry, name, version, by="grace", at=NOON, reason=reason)
            for version, reason in (("1", "the floors are met"), ("2", "“better”, says Grüße"))
        ]

        model = shelf.registry.get_model(name)
        assert model.aliases == {PRODUCTION: "2"}
        assert history(model.tags) == events
        assert [(event.from_version, event.version) for event in events] == [(None, "1"), ("1", "2")]
        assert events[1].metrics == {"accuracy": 0.97}
        assert events[1].data_version == digest(b"data")


class TestMlflowRegistry:
    """Tests that only the real server can run."""

    def test_every_page_of_versions_is_read(
        self, mlflow_shelf: MlflowShelf, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(5):
            mlflow_shelf.add(name)
        monkeypatch.setattr(mlflow_registry, "PAGE_SIZE", 2)

        versions = mlflow_shelf.registry.list_versions(name)

        assert [version.version for version in versions] == ["5", "4", "3", "2", "1"]

    def test_every_page_of_models_is_read(
        self, mlflow_shelf: MlflowShelf, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for part in ("first", "second"):
            mlflow_shelf.add(f"{name}-{part}")
        before = mlflow_shelf.registry.list_models()
        monkeypatch.setattr(mlflow_registry, "PAGE_SIZE", len(before) - 1)

        assert mlflow_shelf.registry.list_models() == before

    def test_large_file_is_fetched_completely(self, mlflow_shelf: MlflowShelf, name: str, tmp_path: Path) -> None:
        content = bytes(range(256)) * 4 * 4096
        version = mlflow_shelf.add(name, {MODEL_FILE: content})

        mlflow_shelf.registry.fetch(version, MODEL_FILE, tmp_path / "file")

        assert digest((tmp_path / "file").read_bytes()) == digest(content)

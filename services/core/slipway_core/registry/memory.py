"""A registry in memory, for tests of the code that uses a registry."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slipway_core.errors import NotRegisteredError, RegistryNotFoundError, RegistryUnavailableError
from slipway_core.registry.base import ModelVersion, RegisteredModel


class InMemoryRegistry:
    """Stores models, versions and bundle files in dictionaries.

    Attributes:
        reachable: set it to False to make every call raise RegistryUnavailableError.
        fetched: (name, version, file) of every fetched file, in order.
    """

    def __init__(self) -> None:
        self.reachable = True
        self.fetched: list[tuple[str, str, str]] = []
        self._models: dict[str, RegisteredModel] = {}
        self._versions: dict[str, list[ModelVersion]] = {}
        self._files: dict[tuple[str, str], dict[str, bytes]] = {}

    def add_version(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        run_id: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Register a new version of a model. The model is created if it does not exist."""
        self._models.setdefault(name, RegisteredModel(name, created_at=time.time()))
        versions = self._versions.setdefault(name, [])
        number = 1 + max((int(v.version) for v in versions), default=0)
        version = ModelVersion(name, str(number), run_id, tags=dict(tags or {}), created_at=time.time())
        versions.append(version)
        self._files[name, version.version] = dict(files)
        return version

    def replace_file(self, name: str, version: str, file: str, content: bytes) -> None:
        """Change a stored file without the registry's knowledge, as in a damaged artifact store."""
        self._files[name, version][file] = content

    def delete_model(self, name: str) -> None:
        """Delete a registered model with its versions."""
        del self._models[name], self._versions[name]

    def delete_version(self, name: str, version: str) -> None:
        """Delete one version of a model; aliases that point to it are kept."""
        self._versions[name] = [found for found in self._versions[name] if found.version != version]

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias from a model."""
        model = self._models[name]
        self._models[name] = replace(model, aliases={k: v for k, v in model.aliases.items() if k != alias})

    def delete_model_tag(self, name: str, key: str) -> None:
        """Remove a tag from a model."""
        model = self._models[name]
        self._models[name] = replace(model, tags={k: v for k, v in model.tags.items() if k != key})

    def list_models(self) -> list[RegisteredModel]:
        """Return every registered model with its aliases and tags."""
        self._check()
        return list(self._models.values())

    def get_model(self, name: str) -> RegisteredModel:
        """Return one registered model."""
        self._check()
        if name not in self._models:
            raise NotRegisteredError(f"no model named {name} is registered")
        return self._models[name]

    def list_versions(self, name: str) -> list[ModelVersion]:
        """Return a model's versions, the newest first."""
        self.get_model(name)
        return self._versions[name][::-1]

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version of a model."""
        for found in self.list_versions(name):
            if found.version == version:
                return found
        raise NotRegisteredError(f"{name} has no version {version}")

    def fetch(self, version: ModelVersion, file: str, destination: Path) -> None:
        """Write one file of the version's bundle to `destination`."""
        self.get_version(version.name, version.version)
        self.fetched.append((version.name, version.version, file))
        content = self._files[version.name, version.version].get(file)
        if content is None:
            raise RegistryNotFoundError(f"version {version.version} of {version.name} has no file {file}")
        destination.write_bytes(content)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self.get_version(name, version)
        model = self._models[name]
        self._models[name] = replace(model, aliases={**model.aliases, alias: version})

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a registered model."""
        model = self.get_model(name)
        self._models[name] = replace(model, tags={**model.tags, key: value})

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a model version."""
        found = self.get_version(name, version)
        versions = self._versions[name]
        versions[versions.index(found)] = replace(found, tags={**found.tags, key: value})

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Delete a tag of a model version."""
        found = self.get_version(name, version)
        if key not in found.tags:
            raise RegistryNotFoundError(f"version {version} of {name} has no tag {key}")
        versions = self._versions[name]
        versions[versions.index(found)] = replace(found, tags={k: v for k, v in found.tags.items() if k != key})

    def _check(self) -> None:
        if not self.reachable:
            raise RegistryUnavailableError("the model registry cannot be reached")

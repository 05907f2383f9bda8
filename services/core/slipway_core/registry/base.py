"""The interface of the model registry, implemented by `MlflowRegistry` and, for tests, `InMemoryRegistry`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

PRODUCTION = "Production"
STAGING = "Staging"
CANDIDATE_PREFIX = "candidate-"


@dataclass(frozen=True)
class RegisteredModel:
    """A named model and what its aliases point to.

    Attributes:
        aliases: from alias to version.
        created_at: seconds since the epoch; distinguishes a model from a later one of the same name.
        stages: from MLflow's older stage, such as `Production`, to the version in it. Slipway serves aliases only.
    """

    name: str
    description: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0
    stages: Mapping[str, str] = field(default_factory=dict)

    @property
    def candidates(self) -> dict[str, str]:
        """From the name of a candidate to its version, by name: the aliases `candidate-<name>`."""
        names = {
            alias.removeprefix(CANDIDATE_PREFIX): version
            for alias, version in sorted(self.aliases.items())
            if alias.startswith(CANDIDATE_PREFIX)
        }
        return {name: version for name, version in names.items() if name}


def candidate_alias(name: str) -> str:
    """Return the alias of a candidate."""
    return f"{CANDIDATE_PREFIX}{name}"


@dataclass(frozen=True)
class ModelVersion:
    """One registered version of a model.

    Attributes:
        version: a whole number as text, as the registry writes it.
        created_at: seconds since the epoch.
    """

    name: str
    version: str
    run_id: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0


class Registry(Protocol):
    """The operations of a model registry.

    Every method raises RegistryUnavailableError if the registry cannot be reached, RegistryNotFoundError if the named
    object does not exist, and RegistryError if the registry rejects the call or returns an unexpected response.
    `get_model` and `get_version` raise NotRegisteredError if the registry itself answered that it does not exist.
    """

    def list_models(self) -> list[RegisteredModel]:
        """Return every registered model with its aliases and tags."""
        ...

    def get_model(self, name: str) -> RegisteredModel:
        """Return one registered model."""
        ...

    def list_versions(self, name: str) -> list[ModelVersion]:
        """Return a model's versions, the newest first."""
        ...

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version of a model."""
        ...

    def fetch(self, version: ModelVersion, file: str, destination: Path) -> None:
        """Write one file of the version's bundle, by its name in the bundle, to `destination`."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version, wherever it pointed before."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias from a model."""
        ...

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a registered model."""
        ...

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a model version."""
        ...

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Delete a tag of a model version."""
        ...

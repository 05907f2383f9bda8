"""Trainings by the command with a real MLflow server, each with a separate model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from mlflow.tracking import MlflowClient

from slipway_core.registry import PRODUCTION, ModelVersion
from slipway_core.registry.gate_result import GateResult, gate_result_of
from slipway_core.registry.mlflow import ARTIFACT_PATHS, MlflowRegistry
from slipway_trainer.cli import main
from support.command import Ended, run

# One candidate with a fast fit.
LIGHT = ("candidates=logistic-regression", "C=1", "folds=2")
RECIPE_FILE = """
from slipway_trainer.recipes.{module} import RECIPE as BASE
RECIPE = BASE.model_copy(update={{"name": {name!r}}})
"""


@dataclass(frozen=True)
class Model:
    """A model's recipe in a separate file, and its versions in the registry."""

    name: str
    recipe: Path
    registry: MlflowRegistry
    client: MlflowClient

    def train(self, *options: str, settings: Sequence[str] = LIGHT) -> Ended:
        """Run `slipway-trainer train` with the model's recipe."""
        given = [part for setting in settings for part in ("--set", setting)]
        return run(main, "train", str(self.recipe), *given, *options)

    @property
    def production(self) -> str | None:
        """The Production version."""
        return self.registry.get_model(self.name).aliases.get(PRODUCTION)

    def version(self, number: str) -> ModelVersion:
        """Return one of its versions."""
        return self.registry.get_version(self.name, number)

    def gate_result(self, number: str) -> GateResult:
        """Return the gate's report on a version."""
        found = gate_result_of(self.version(number).tags)
        assert found is not None
        return found

    def fetched(self, number: str, file: str, folder: Path) -> bytes:
        """Return a file of a version."""
        self.registry.fetch(self.version(number), file, folder / file)
        return (folder / file).read_bytes()


def recipe_file(folder: Path, name: str, module: str = "iris") -> Path:
    """Write a recipe under another name, as a user would."""
    file = folder / f"{name.replace('-', '_')}.py"
    file.write_text(RECIPE_FILE.format(module=module, name=name))
    return file


def file_url(mlflow_url: str, name: str, version: str, file: str) -> str:
    """Return the address at which a file of a version is stored."""
    call = f"{mlflow_url}/api/2.0/mlflow/model-versions/get-download-uri"
    answer = httpx.get(call, params={"name": name, "version": version}).raise_for_status().json()
    folder = answer["artifact_uri"].removeprefix("mlflow-artifacts:/")
    return f"{mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{folder}/{ARTIFACT_PATHS[file]}"

"""Find a model in MLflow's registry, in a run or in a file, and download it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.tracking import MlflowClient

from slipway_core.errors import NotRegisteredError
from slipway_core.registry import Registry
from slipway_core.validation import did_you_mean
from slipway_trainer.errors import ForeignModelError, reason_of

_FORMS = "models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN_ID/PATH"
_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))", re.ASCII)
_LOGGED = re.compile(r"models:/m-[0-9a-f]{32}", re.ASCII)
_RUN = re.compile(r"runs:/(?P<run>[0-9a-f]{32})/(?P<path>.+)", re.ASCII)
# The flavors that can be converted, in the order of preference if a model has several.
FLAVORS = ("onnx", "sklearn", "xgboost", "lightgbm")


@dataclass(frozen=True)
class Source:
    """A downloaded model.

    Attributes:
        uri: what the user passed: the address in MLflow, or the file.
        folder: the folder with the MLmodel file; for a file, the folder that contains it.
        flavor: `onnx`, `sklearn`, `xgboost` or `lightgbm`.
        settings: the flavor's part of the MLmodel file.
        model: the parsed MLmodel file; None for a file.
        run_id: the run that logged the model; None if unknown.
        version: the registered version that the address means, such as `their-model/3`; None for a run or a file.
        git_commit: the commit of the code that trained it; None if unknown.
    """

    uri: str
    folder: Path
    flavor: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Model | None = None
    run_id: str | None = None
    version: str | None = None
    git_commit: str | None = None

    @property
    def library(self) -> str:
        """The version of the library that wrote it, such as `sklearn_version 1.9.1`; empty if unknown."""
        found = [f"{key} {value}" for key, value in self.settings.items() if key.endswith("_version")]
        return found[0] if found else ""


def from_file(file: str) -> Source:
    """Return an ONNX file as a source.

    Raises:
        ForeignModelError: it does not exist.
    """
    path = Path(file)
    if not path.is_file():
        others = [one.name for one in path.parent.glob("*.onnx")] if path.parent.is_dir() else []
        raise ForeignModelError(f"{file} is not a file{did_you_mean(path.name, others) or '; check the path'}")
    return Source(path.name, path.parent, "onnx", {"data": path.name})


def from_mlflow(uri: str, registry: Registry, workdir: Path) -> Source:
    """Download a model to a folder, without loading it.

    Raises:
        ForeignModelError: the address is invalid, nothing has it, or the model has no flavor that can be converted.
        RegistryError: the registry rejected a call or failed.
    """
    version = _checked(uri, registry)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(workdir)))
    except MlflowException as error:
        raise ForeignModelError(f"{uri} cannot be downloaded: {reason_of(error)}; check the address") from error
    except OSError as error:
        raise ForeignModelError(f"{uri} cannot be downloaded: {reason_of(error)}; check the path in the run") from error
    if not (folder / "MLmodel").is_file():
        raise ForeignModelError(
            f"{uri} has no MLmodel file, so it is not a model that MLflow logged; pass the path of a model, or an ONNX "
            "file with --onnx"
        )
    try:
        model = Model.load(str(folder))
    except Exception as error:  # whatever the file contains
        raise ForeignModelError(f"the MLmodel file of {uri} cannot be parsed: {reason_of(error)}") from error
    flavor = _flavor_of(uri, model)
    return Source(uri, folder, flavor, model.flavors[flavor], model, model.run_id, version, _commit_of(model.run_id))


def _commit_of(run_id: str | None) -> str | None:
    """Return the Git commit that a run recorded."""
    if run_id is None:
        return None
    try:
        commit = MlflowClient().get_run(run_id).data.tags.get("mlflow.source.git.commit")
    except MlflowException:  # the run was deleted
        return None
    return None if commit is None else str(commit)


def _checked(uri: str, registry: Registry) -> str | None:
    """Check that an address exists, and return the version that it means, as `NAME/VERSION`."""
    if match := _REGISTERED.fullmatch(uri):
        return _registered(registry, match["name"], match["version"], match["alias"])
    if match := _RUN.fullmatch(uri):
        try:
            MlflowClient().get_run(match["run"])
        except MlflowException as error:
            raise ForeignModelError(f"the run {match['run']} does not exist; check the run's id in MLflow") from error
        return None
    if _LOGGED.fullmatch(uri):
        return None
    raise ForeignModelError(f"{uri!r} is not the address of a model; pass {_FORMS}, or an ONNX file with --onnx")


def _registered(registry: Registry, name: str, version: str | None, alias: str | None) -> str:
    try:
        model = registry.get_model(name)
    except NotRegisteredError as error:
        names = [one.name for one in registry.list_models()]
        meant = did_you_mean(name, names) or "; `slipway models list` shows the models"
        raise ForeignModelError(f"the registry has no model {name!r}{meant}") from error
    if alias is not None:
        if alias not in model.aliases:
            known = ", ".join(sorted(model.aliases)) or "none"
            raise ForeignModelError(f"the model {name!r} has no alias {alias!r}; its aliases are: {known}")
        version = model.aliases[alias]
    numbers = [one.version for one in registry.list_versions(name)]
    if version not in numbers:
        listed = ", ".join(sorted(numbers, key=int)[-10:]) or "none"
        raise ForeignModelError(f"the model {name!r} has no version {version}; its versions are: {listed}")
    return f"{name}/{version}"


def _flavor_of(uri: str, model: Model) -> str:
    for flavor in FLAVORS:
        if flavor in model.flavors:
            return flavor
    found = ", ".join(f"mlflow.{name}" for name in sorted(model.flavors) if name != "python_function")
    logged = f"was logged with {found}" if found else "is a Python function only (mlflow.pyfunc)"
    raise ForeignModelError(
        f"{uri} {logged}, and Slipway registers models of mlflow.sklearn, mlflow.xgboost, mlflow.lightgbm and "
        "mlflow.onnx; convert it to ONNX with its own library, and pass the file with --onnx"
    )

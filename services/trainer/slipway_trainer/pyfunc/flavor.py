"""Write a bundle as an MLflow model that MLflow's ONNX flavor and its pyfunc can load."""

import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.onnx
import onnx
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from slipway_core.answers import OUTPUT, PREDICTION
from slipway_core.bundle import MLMODEL_FILE
from slipway_core.manifest import MODEL_FILE, Label, Manifest
from slipway_trainer.pyfunc.shipped_code import write_code

CODE_FOLDER = "code"
# What the loader imports. MLflow's server needs MLflow itself.
REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas", "pydantic")


def save_model(path: str, mlflow_model: Model, *, bundle: Path, manifest: Manifest) -> None:
    """Write a bundle's files, and MLflow's description of them, into a new folder.

    `mlflow.models.Model.log` calls this function by its name.

    Args:
        path: the folder.
        mlflow_model: the description, which is completed and written.
        bundle: the folder of the bundle's files.
        manifest: the bundle's manifest.
    """
    mlflow.onnx.save_model(
        onnx.load_model(bundle / MODEL_FILE),
        path,
        mlflow_model=mlflow_model,
        signature=signature_of(manifest),
        # Otherwise, weights of more than 1 KB are written to a separate file with a random name.
        save_as_external_data=False,
        extra_files=[str(file) for file in sorted(bundle.iterdir()) if file.name != MODEL_FILE],
        conda_env=_environment(),
    )
    # The ONNX flavor stays as MLflow writes it. Its own pyfunc fails for most classifiers and for typed columns.
    described = mlflow_model.flavors[pyfunc.FLAVOR_NAME]
    described[pyfunc.MAIN] = write_code(Path(path) / CODE_FOLDER)
    described[pyfunc.CODE] = CODE_FOLDER
    del described[pyfunc.DATA]  # the loader gets the whole folder
    mlflow_model.model_size_bytes = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    mlflow_model.save(str(Path(path) / MLMODEL_FILE))


def signature_of(manifest: Manifest) -> ModelSignature:
    """Return the MLflow signature of what the loader takes and returns.

    Columns have any type, and the loader checks their values. MLflow's types would reject integers for numbers, convert
    the text `false` to true, and cut decimals off integers.
    """
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), column.name) for column in manifest.columns]),
        outputs=Schema([ColSpec(DataType.double if manifest.classes is None else _type_of(manifest.classes))]),
        params=ParamSchema([ParamSpec(OUTPUT, DataType.string, PREDICTION)]),
    )


def _type_of(labels: Iterable[Label]) -> DataType | AnyType:
    kinds = {type(label) for label in labels}
    types = {str: DataType.string, int: DataType.long, bool: DataType.boolean}
    return types[kinds.pop()] if len(kinds) == 1 else AnyType()


def _environment() -> dict[str, Any]:
    """Return the model's environment in MLflow's format; MLflow's own function takes seconds, and warns without pip."""
    requirements = [f"{name}=={version(name)}" for name in REQUIREMENTS]
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={platform.python_version()}", "pip", {"pip": requirements}],
    }

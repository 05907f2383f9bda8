"""The model that `mlflow.pyfunc.load_model` and `mlflow models serve` load from a bundle.

Each model version has a copy of this module and of the core's modules that it imports, so that it needs no Slipway. It
imports nothing else except MLflow and what MLflow requires.
"""

import io
import math
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from slipway_core.answers import PROBABILITIES, answer, chosen_output, labels_as_text
from slipway_core.bundle import MANIFEST_FILE, digest
from slipway_core.columns import InputColumn
from slipway_core.csv_cells import EmptyCell, converter
from slipway_core.errors import FeaturesError
from slipway_core.graph import Graph
from slipway_core.manifest import MODEL_FILE, Manifest
from slipway_core.table_signature import signature_of

# Where MLflow stores the files beside the graph.
EXTRA_FILES = "extra_files"
# The module that `mlflow models serve` runs, and its parser of CSV.
SERVER = "mlflow.pyfunc.scoring_server"
SERVER_APP = f"{SERVER}.app"
NUMBERS = frozenset({"float32", "float64", "int64"})


def _load_pyfunc(path: str) -> "PyfuncModel":
    """Return the model in a folder; MLflow calls this function by its name.

    Raises:
        MlflowException: the graph is not the one that the manifest describes.
        BundleError: the graph cannot be loaded.
    """
    manifest = Manifest.model_validate_json((Path(path) / EXTRA_FILES / MANIFEST_FILE).read_bytes())
    content = (Path(path) / MODEL_FILE).read_bytes()
    if digest(content) != manifest.digests[MODEL_FILE]:
        raise _invalid(f"{MODEL_FILE} is not the graph that {MANIFEST_FILE} describes: register the version again")
    model = PyfuncModel(manifest, Graph(content, manifest.graph, manifest.decision))
    if SERVER_APP in sys.modules:
        _read_csv_of_any_type(model)
    return model


class PyfuncModel:
    """A bundle that predicts from a DataFrame."""

    def __init__(self, manifest: Manifest, graph: Graph) -> None:
        self.manifest = manifest
        self._graph = graph
        self._signature = signature_of(manifest)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> NDArray[Any] | pd.DataFrame:
        """Predict as `/invocations` of the API does.

        Args:
            frame: a row per prediction. Its columns are named as in the signature, in any order.
            params: `{"output": "probabilities"}` for the probabilities of a classifier.

        Returns:
            (n_rows,) class labels with their own type, or float64 values of a regressor; or a DataFrame with a column
            of probabilities per class and the index of `frame`.

        Raises:
            MlflowException: a column is missing, a value is invalid, or a parameter is unknown.
            BundleError: the graph fails.
        """
        try:
            choice = chosen_output(params, self.manifest)
            columns = [_values(frame[column.name], column) for column in self.manifest.columns]
            rows: Any = self._signature.rows([list(row) for row in zip(*columns, strict=True)])
        except FeaturesError as error:
            raise _invalid("; ".join(_with_row(problem.loc, problem.msg) for problem in error.problems)) from error
        outputs = answer(self._graph, self.manifest, rows)
        scores, classes = outputs.scores, self.manifest.classes
        if not np.isfinite(outputs.prediction if scores is None else scores).all():
            raise _invalid("the model returns no finite result for these values")
        if classes is None or scores is None:
            return _as_in_json(outputs.prediction)
        if choice == PROBABILITIES:
            return pd.DataFrame(_as_in_json(scores), columns=labels_as_text(self.manifest), index=frame.index)
        # Text as objects, like in a column of a DataFrame. Labels of several types cannot be an array of one.
        is_plain = {type(label) for label in classes} in ({int}, {bool})
        labels: NDArray[Any] = np.array(classes, dtype=None if is_plain else object)[outputs.prediction]
        return labels


def _values(series: pd.Series, column: InputColumn) -> list[Any]:
    """Return the values of a column as JSON would have them."""
    values: list[Any] = series.tolist()
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iub":
        return values
    # NaN is a missing value, except where none is allowed: then the number is reported as not finite.
    gap = math.nan if column.dtype in NUMBERS and not column.nullable else None
    return [_as_json(value, gap) for value in values]


def _as_json(value: Any, gap: float | None) -> Any:  # noqa: ANN401  # a frame may hold anything
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return gap
    if isinstance(value, date):  # also a datetime, and a timestamp of pandas
        return value.isoformat()
    return value


def _as_in_json(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return floats as a client reads them from the API's JSON, which has their shortest decimals."""
    return values.astype(np.str_).astype(np.float64)


def _with_row(loc: tuple[str | int, ...], message: str) -> str:
    return f"row {loc[1]}: {message}" if len(loc) > 1 and isinstance(loc[1], int) else message


def _invalid(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


def _read_csv_of_any_type(model: PyfuncModel) -> None:
    """Let `mlflow models serve` read CSV for this model, whose columns have no MLflow type, as the API does.

    The server runs one model in a process of its own; its parser rejects a signature with columns of any type.
    """

    def parse(csv_input: io.StringIO, schema: object = None) -> pd.DataFrame:  # noqa: ARG001  # MLflow passes it
        try:
            frame = pd.read_csv(csv_input, dtype=object, keep_default_na=False)
        except ValueError as error:
            raise _invalid("the body is not CSV: send a header with the columns' names, and a line per row") from error
        for column in model.manifest.columns:
            if column.name in frame:
                convert = converter(column)
                cells = [convert(cell) for cell in frame[column.name]]
                frame[column.name] = pd.Series(
                    [None if isinstance(one, EmptyCell) else one for one in cells], dtype=object
                )
        return frame

    sys.modules[SERVER].parse_csv_input = parse  # type: ignore[attr-defined]

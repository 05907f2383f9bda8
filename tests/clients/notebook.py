"""A notebook with MLflow, pandas and ONNX Runtime alone: load each model, and predict a DataFrame.

Reads a JSON object of cases from standard input: the `name` of a model, and the `columns` and `rows` of a DataFrame.
Writes one to standard output, with the predictions of each case or the message of the error.
"""

import importlib.abc
import json
import sys
from typing import Any

MISSING = frozenset({"slipway_api", "slipway_cli", "slipway_core", "slipway_trainer", "onnx", "skl2onnx", "sklearn"})


class NotInstalled(importlib.abc.MetaPathFinder):
    """Hide packages that this environment has."""

    def find_spec(self, fullname: str, *_rest: object) -> None:
        if fullname.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


sys.meta_path.insert(0, NotInstalled())

import mlflow.pyfunc  # noqa: E402  # after the packages were hidden
import pandas as pd  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402


def predictions_of(name: str, columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    """Return what a model predicts: its labels or values, and the probabilities of a classifier."""
    model = mlflow.pyfunc.load_model(f"models:/{name}@Production")
    frame = pd.DataFrame(rows, columns=columns)
    try:
        found = model.predict(frame)
        # Whole numbers as integers, pandas' own missing values, and other columns in another order.
        other = frame.convert_dtypes()[columns[::-1]].assign(note="a column that the model does not have")
        same = model.predict(other).tolist()
        is_number = found.dtype.kind == "f"
        scores = None if is_number else model.predict(frame, params={"output": "probabilities"}).to_dict(orient="list")
    except MlflowException as error:
        return {"error": error.message}
    return {"prediction": found.tolist(), "other": same, "probabilities": scores}


given = json.load(sys.stdin)
json.dump({key: predictions_of(**one) for key, one in given.items()}, sys.stdout)

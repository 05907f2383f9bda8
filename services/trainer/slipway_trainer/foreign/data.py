"""Read the rows of a CSV file as the values of a model's columns, and its target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.bundle import data_version, digest
from slipway_core.csv_cells import BOOLEANS, number
from slipway_core.validation import did_you_mean
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.foreign.columns import Feature, Kind
from slipway_trainer.inference.fields import is_missing, matching
from slipway_trainer.inference.reading import read_table
from slipway_trainer.schema import SHOWN_COLUMNS, lines, values_in_lines


@dataclass(frozen=True)
class DataFile:
    """A CSV file with rows of a model.

    Attributes:
        path: its path, as the user passed it.
        table: all fields as text; the index counts the file's lines, 0 for the second.
        target: the column with the true values; None without one.
        version: the data version.
    """

    path: str
    table: pd.DataFrame
    target: str | None
    version: str

    @property
    def features(self) -> pd.DataFrame:
        """All columns but the target."""
        return self.table.drop(columns=[self.target] if self.target is not None else [])

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name


def data_file(path: str, content: bytes, target: str | None) -> DataFile:
    """Parse a file.

    Raises:
        DataRefusedError: it is not CSV, or lacks the target.
    """
    name = PurePosixPath(path).name
    # Without a target, any column of the file.
    first = content.decode("utf-8-sig", errors="replace").partition("\n")[0].strip("\r").split(",")[0].strip('"')
    table = read_table(content, name, first if target is None else target)
    return DataFile(path, table, target, data_version({name: digest(content)}))


def cells_of(data: DataFile, features: Sequence[Feature], *, gaps: frozenset[Kind]) -> "np.ndarray[Any, Any]":
    """Return (n_rows, n_columns) values as clients send them; None for a missing one.

    Args:
        data: the file; other columns are ignored.
        features: the model's columns.
        gaps: the types of columns that may have missing values although the signature does not say so.

    Raises:
        DataRefusedError: a column is missing, or has values of another type.
    """
    if data.target in {feature.name for feature in features}:
        raise DataRefusedError(
            [f"the target {data.target!r} is a column that the model takes; name the column with its true predictions"]
        )
    header = [str(name) for name in data.features.columns]
    if missing := [feature.name for feature in features if feature.name not in header]:
        listed = ", ".join(header[:SHOWN_COLUMNS]) + (", …" if len(header) > SHOWN_COLUMNS else "")
        meant = did_you_mean(missing[0], header) or ";"
        named = ", ".join(map(repr, missing[:SHOWN_COLUMNS]))
        what = "column" if len(missing) == 1 else "columns"
        raise DataRefusedError(
            [f"{data.name} lacks the {what} {named} of the model{meant} the file has {listed}; rename or add columns"]
        )
    cells = np.empty((len(data.table), len(features)), dtype=object)
    findings: list[str] = []
    for index, feature in enumerate(features):
        cells[:, index], found = _read(data.table[feature.name], feature, may_miss=feature.kind in gaps)
        findings += found
    if findings:
        raise DataRefusedError(findings)
    return cells


def _read(fields: pd.Series, feature: Feature, *, may_miss: bool) -> tuple["np.ndarray[Any, Any]", list[str]]:
    missing = matching(fields, _is_missing_text if feature.kind == "string" else is_missing)
    findings = []
    if missing.any() and not (feature.nullable or may_miss):
        findings.append(
            f"{feature.name!r} is empty in {lines(missing)}, and the model takes no missing value there; fill it in, "
            "or remove the rows"
        )
    if missing.all():
        findings.append(f"{feature.name!r} has no values; add rows that have one")
    codes, distinct = pd.factorize(fields.mask(missing))
    converted = np.empty(len(distinct) + 1, dtype=object)  # the code of a missing value is -1, the last entry
    wrong = []
    convert, expected = _CONVERTERS[feature.kind]
    for index, field in enumerate(distinct):
        try:
            converted[index] = convert(field)
        except ValueError:
            wrong.append(index)
    if wrong:
        cells = fields[np.isin(codes, wrong)]
        findings.append(
            f"{feature.name!r} must be {expected}, as the model takes it, got {values_in_lines(cells.items())}; "
            "correct the data"
        )
    return converted[codes], findings


def _is_missing_text(field: str) -> bool:
    """Return whether pandas reads a field of text as a missing value."""
    return is_missing(field) and field.strip() not in {"?", "NaT"}


def _number(field: str) -> float:
    value = number(field)
    if isinstance(value, str) or not np.isfinite(value):
        raise ValueError
    return float(value)


def _integer(field: str) -> int:
    value = _number(field)
    if not value.is_integer():
        raise ValueError
    return int(field) if field.strip().lstrip("+-").isdigit() else int(value)


def _boolean(field: str) -> bool:
    if (value := BOOLEANS.get(field.strip().lower())) is None:
        raise ValueError
    return value


_CONVERTERS: Mapping[Kind, tuple[Callable[[str], Any], str]] = {
    "float64": (_number, "a number"),
    "float32": (_number, "a number"),
    "int64": (_integer, "an integer"),
    "int32": (_integer, "an integer"),
    "bool": (_boolean, "true or false"),
    "string": (str, "text"),
}


def values_of(data: DataFile) -> NDArray[np.float64]:
    """Return the target's values as (n_rows,) float64.

    Raises:
        DataRefusedError: a value is missing or not a number.
    """
    assert data.target is not None  # noqa: S101
    values, findings = _read(data.table[data.target], Feature(data.target, "float64"), may_miss=False)
    if findings:
        raise DataRefusedError([finding.replace("the model takes", "a score requires") for finding in findings])
    return values.astype(np.float64)


def classes_of(data: DataFile, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each row's class as (n_rows,) int64.

    Args:
        data: the file.
        names: the labels of the model's classes, as text.

    Raises:
        DataRefusedError: a label is missing, or the model does not know it.
    """
    assert data.target is not None  # noqa: S101
    fields = data.table[data.target]
    places = {name: index for index, name in enumerate(names)}
    found = {field: _place(field, places) for field in fields.unique()}
    unknown = fields[fields.map(found).isna()]
    if len(unknown):
        finding = (
            f"the target {data.target!r} has values that are not classes of the model: "
            f"{values_in_lines(unknown.items())}; its classes are {', '.join(names[:SHOWN_COLUMNS])}"
        )
        raise DataRefusedError([finding])
    indices: NDArray[np.int64] = fields.map(found).to_numpy(dtype=np.int64)
    return indices


def _place(field: str, places: Mapping[str, int]) -> int | None:
    """Return the class of a field: `1.0` and `True` stand for the integer 1, and `True` for the boolean true."""
    text = field.strip()
    lower = text.lower()
    for form in (field, text, text.removesuffix(".0"), lower, {"true": "1", "false": "0"}.get(lower, lower)):
        if form in places:
            return places[form]
    return None


GAPS_OF_ESTIMATORS: frozenset[Kind] = frozenset({"float64", "float32", "int64", "int32", "bool", "string"})
GAPS_OF_GRAPHS: frozenset[Kind] = frozenset({"float64", "float32"})

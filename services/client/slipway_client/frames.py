"""DataFrames as rows, and predictions as DataFrames. The client itself never imports pandas."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slipway_client.results import Batch, Label, PredictionResult
from slipway_client.values import Row, json_value

if TYPE_CHECKING:
    import pandas as pd

ID_COLUMN = "prediction_id"
ROW_COLUMN = "prediction_row"


def is_frame(data: object) -> bool:
    """Return whether data is a DataFrame."""
    return _pandas() is not None and isinstance(data, _pandas().DataFrame)


def is_series(data: object) -> bool:
    """Return whether data is a Series."""
    return _pandas() is not None and isinstance(data, _pandas().Series)


def _pandas() -> Any:  # noqa: ANN401  # the module, or None
    """Return pandas if the caller has imported it, as every caller with a DataFrame has."""
    return sys.modules.get("pandas")


def frame_rows(frame: "pd.DataFrame") -> Iterator[Row]:
    """Yield the rows of a DataFrame as objects by column name.

    Objects, because a version that is promoted meanwhile may expect the columns in another order.

    Raises:
        ValueError: there are no columns, a name is not text, or two columns have the same name.
    """
    names = list(frame.columns)
    if not names:
        raise ValueError("the DataFrame has no columns: pass those of the features")
    if odd := [name for name in names if not isinstance(name, str)]:
        raise ValueError(f"names of columns must be text, got {odd[0]!r}: rename the columns to those of the model")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the DataFrame has two columns named {twice!r}: rename or remove one of them")
    columns = [_column_values(frame[name]) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _column_values(series: "pd.Series") -> list[Any]:
    """Return the values of a column as in JSON, for all rows at once. Values without such a form stay as they are."""
    values: list[Any] = series.tolist()  # converts scalars of NumPy
    if series.dtype.kind in "biuf" and not series.hasnans:
        return values
    return list(map(_converted, values))


def _converted(value: Any) -> Any:  # noqa: ANN401
    try:
        return json_value(value)
    except ValueError:  # reported with its row later
        return value


def result_frame(
    batches: Sequence[Batch], index: "pd.Index", classes: Mapping[str, Sequence[Label] | None]
) -> "pd.DataFrame":
    """Return the predictions as a DataFrame, one line per row.

    Args:
        batches: the batches that succeeded, at least one.
        index: the index of the data; the result has its entries for the rows of the batches.
        classes: the classes, by version; None for a regressor, or if they are unknown.
    """
    parts = [_batch_frame(batch, index, classes[batch.version]) for batch in batches]
    frame = parts[0] if len(parts) == 1 else _pandas().concat(parts)
    last = [ID_COLUMN, ROW_COLUMN]
    frame = frame[[name for name in frame.columns if name not in last] + last]
    result = PredictionResult.of(batches)
    frame.attrs["model"] = result.model
    frame.attrs["versions"] = result.versions
    frame.attrs["warnings"] = [dict(vars(warning)) for warning in result.warnings]
    return frame


def empty_frame(index: "pd.Index", classes: Sequence[Label] | None) -> "pd.DataFrame":
    """Return the predictions of no rows, with the same columns."""
    names = ["prediction", *_class_columns(classes), ID_COLUMN, ROW_COLUMN]
    if classes is not None:
        names.insert(1, "label")
    return _pandas().DataFrame({name: [] for name in names}, index=index)


def _batch_frame(batch: Batch, index: "pd.Index", classes: Sequence[Label] | None) -> "pd.DataFrame":
    answer = batch.response
    columns: dict[str, list[Any]] = {"prediction": answer["prediction"]}
    if "label" in answer and "probabilities" in answer:
        # The API sends labels as text. In their own type, they compare with the true labels of a data set.
        known = {label_text(one): one for one in classes or ()}
        columns["label"] = [known.get(label_text(one), one) for one in answer["label"]]
        by_class = list(zip(*answer["probabilities"], strict=True))
        names = _class_columns(classes) if classes else [f"probability_{number}" for number in range(len(by_class))]
        columns |= dict(zip(names, map(list, by_class), strict=True))
    columns[ID_COLUMN] = [batch.id] * len(batch.rows)
    columns[ROW_COLUMN] = list(range(len(batch.rows)))
    return _pandas().DataFrame(columns, index=index[batch.rows.start : batch.rows.stop])


def _class_columns(classes: Sequence[Label] | None) -> list[str]:
    return [f"probability_{label_text(one)}" for one in classes or ()]


def label_text(label: Label) -> str:
    """Return a class label as text, as CSV and the command line show it: `true`, `3`, `setosa`."""
    return str(label).lower() if isinstance(label, bool) else str(label)

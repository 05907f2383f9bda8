"""The columns of a model that Slipway did not train, as its signature, its graph or its data describe them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from slipway_core.validation import first_problem
from slipway_trainer.errors import ForeignModelError
from slipway_trainer.recipes import Column

Kind = Literal["float64", "float32", "int64", "int32", "bool", "string"]
INTEGERS = frozenset({"int64", "int32"})
FLOATS = frozenset({"float64", "float32"})
# More different texts are not listed as categories.
MAX_LISTED = 50
SHOWN_NAME = 60


@dataclass(frozen=True)
class Feature:
    """A column that the model takes.

    Attributes:
        kind: the type of its values, as the model's own program passes them.
        nullable: whether a value may be missing.
        categories: the values that the model knows; None if it takes any.
        is_closed: whether the model rejects values outside `categories`.
        missing: what the graph receives for a missing text.
    """

    name: str
    kind: Kind
    nullable: bool = False
    categories: tuple[str, ...] | tuple[float, ...] | None = None
    is_closed: bool = False
    missing: str = ""


class GraphColumn(Column):
    """A column whose tensor in the graph has another element type than a recipe's column would have."""

    tensor: Literal["float32", "float64", "int64", "bool", "string"]

    @property
    def graph_dtype(self) -> Literal["float32", "float64", "int64", "bool", "string"]:
        """The element type of its tensor."""
        return self.tensor


def column_of(feature: Feature, *, as_matrix: bool) -> Column:
    """Return a column that enters the graph as float32 or text.

    Args:
        feature: the model's column.
        as_matrix: whether all columns of the model are numbers that form one matrix.

    Raises:
        ForeignModelError: its name or its categories cannot be served.
    """
    kinds: dict[Kind, Literal["float64", "int64", "bool", "string"]] = {
        "float64": "float64",
        "float32": "float64",
        "int64": "int64",
        "int32": "int64",
        "bool": "bool",
        "string": "string",
    }
    try:
        return Column(
            name=feature.name,
            dtype="float32" if as_matrix else kinds[feature.kind],
            nullable=feature.nullable,
            missing=feature.missing,
            categories=feature.categories,
            on_unknown="reject" if feature.categories is None or feature.is_closed else "ignore",
            may_be_constant=True,
        )
    except ValidationError as error:
        raise ForeignModelError(
            f"the column {feature.name[:SHOWN_NAME]!r} cannot be served: {first_problem(error)[1]}"
        ) from error


def are_plain_floats(features: Sequence[Feature]) -> bool:
    """Return whether all columns are floats without missing values, which may form one matrix."""
    return all(feature.kind in FLOATS and not feature.nullable for feature in features)


def has_gap(cells: "np.ndarray[Any, Any]", index: int) -> bool:
    """Return whether a column of rows has a missing value."""
    return any(value is None for value in cells[:, index])


def frame_of(features: Sequence[Feature], cells: "np.ndarray[Any, Any]") -> pd.DataFrame:
    """Return rows with the types that the model's own program passes: NaN for a missing value.

    Args:
        features: the columns.
        cells: (n_rows, n_columns) objects, None for a missing value.
    """
    made = {}
    for index, feature in enumerate(features):
        values = cells[:, index]
        missing = np.array([value is None for value in values], dtype=bool)
        if feature.kind == "string" or (feature.kind == "bool" and missing.any()):
            made[feature.name] = pd.Series(np.where(missing, np.nan, values), dtype=object)
        elif missing.any():
            kind = "float32" if feature.kind == "float32" else "float64"
            made[feature.name] = pd.Series(np.where(missing, np.nan, values).astype(kind))
        else:
            made[feature.name] = pd.Series(values.astype(feature.kind))
    return pd.DataFrame(made)

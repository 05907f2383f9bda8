"""How MLflow describes the columns of a recipe."""

import pytest
from mlflow.types import DataType

from slipway_trainer.recipes import Column
from slipway_trainer.tracked_data import columns


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (Column(name="x"), DataType.double),
        (Column(name="x", dtype="float64", nullable=True), DataType.double),
        (Column(name="x", dtype="int64"), DataType.long),
        (Column(name="x", dtype="int64", nullable=True), DataType.double),
        (Column(name="x", dtype="bool"), DataType.boolean),
        (Column(name="x", dtype="bool", nullable=True), DataType.double),
        (Column(name="x", dtype="string", nullable=True), DataType.string),
        (Column(name="x", dtype="date"), DataType.string),
    ],
)
def test_column_has_the_type_and_the_optionality_of_the_recipe(column: Column, kind: DataType) -> None:
    (described,) = columns([column]).inputs

    assert (described.name, described.type, described.required) == ("x", kind, not column.nullable)

"""The columns that clients send, and the inputs of the graph that are made of them: parts of a manifest."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, model_validator

# Names appear in every response, metric and log line, so their length is limited.
MAX_NAME_LENGTH = 256
MAX_FEATURES = 10_000
MAX_DESCRIPTION_LENGTH = 1_000
# Beyond them, float32 and float64 cannot represent every integer.
FLOAT32_EXACT = 2**24
FLOAT64_EXACT = 2**53

Name = Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
_Some = Field(min_length=1, max_length=MAX_FEATURES)
# Numbers or text. The first type that fits is taken.
Categories = Annotated[
    Annotated[tuple[StrictFloat, ...], _Some] | Annotated[tuple[Name, ...], _Some],
    Field(union_mode="left_to_right"),
]
DatePart = Literal["year", "month", "day", "weekday", "hour"]
TensorType = Literal[
    "float32", "float64", "int64", "int32", "int16", "int8", "uint32", "uint16", "uint8", "bool", "string"
]
_INTEGERS = frozenset({"int64", "int32", "int16", "int8", "uint32", "uint16", "uint8"})
# Only these can hold a missing value: floats as NaN, and text as a placeholder.
_WITH_MISSING = frozenset({"float32", "float64", "string"})
# The types of tensors that each type of column may enter the graph as.
TENSOR_TYPES = {
    "float32": {"float32"},
    "float64": {"float64", "float32"},
    "int64": {"float64", "float32", *_INTEGERS},
    "bool": {"bool", "float64", "float32", *_INTEGERS},
    "string": {"string"},
    "date": {"float32"},
}


class Frozen(BaseModel):
    """An immutable part of a bundle's files; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputColumn(Frozen):
    """One named feature, as clients send it."""

    name: Name = Field(min_length=1, description="The feature's name.")
    dtype: Literal["float32", "float64", "int64", "bool", "string", "date"] = Field(
        description="The type of its values. A date is text in ISO 8601, such as `2026-11-21` or `2026-11-21T08:30`."
    )
    nullable: bool = Field(default=False, description="Whether a value may be missing (null).")
    missing: Name | None = Field(
        default=None,
        description="Nullable text: what the graph receives for a missing value. Other types become float32 with NaN.",
    )
    categories: Categories | None = Field(
        default=None, description="The known values of a feature of categories: numbers or text."
    )
    on_unknown: Literal["reject", "ignore"] = Field(
        default="reject", description="Whether a value outside `categories` is an error, or passed to the graph."
    )
    min: float | None = Field(default=None, description="The smallest value in the training rows.")
    max: float | None = Field(default=None, description="The largest value in the training rows.")
    unit: Name | None = Field(default=None, description="The unit of measure, such as `cm`.")
    description: str | None = Field(
        default=None, max_length=MAX_DESCRIPTION_LENGTH, description="What the feature means."
    )

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.nullable and self.dtype == "string" and self.missing is None:
            raise ValueError(f"the nullable text column {self.name!r} needs `missing`")
        if self.missing is not None and not (self.nullable and self.dtype == "string"):
            raise ValueError(f"the column {self.name!r} has `missing`, which only nullable text may have")
        if self.categories is not None:
            is_text = isinstance(self.categories[0], str)
            if self.dtype in {"bool", "date"} or is_text != (self.dtype == "string"):
                raise ValueError(f"the categories of {self.name!r} do not have its type")
            if self.dtype == "int64" and not all(_is_exact(float(one)) for one in self.categories):
                raise ValueError(f"the categories of {self.name!r} must be integers between -2^53 and 2^53")
            if is_text and any("\x00" in str(one) for one in self.categories):
                raise ValueError(f"the categories of {self.name!r} must be text without NUL")
        return self


def _is_exact(value: float) -> bool:
    """Return whether a number is an integer that float64 represents exactly."""
    return abs(value) <= FLOAT64_EXACT and value.is_integer()


class GraphInput(Frozen):
    """One input of the graph."""

    name: Name = Field(min_length=1, description="The input's name.")
    dtype: TensorType = Field(description="Its element type.")
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="The shape of one row: `[4]` for a matrix of four columns, `[1]` for one column."
    )
    column: Name | None = Field(
        default=None,
        description="The column that it is made of; null for a matrix of the next columns that no input names.",
    )
    part: DatePart | None = Field(default=None, description="The part of a date that it holds.")


def check_inputs(columns: tuple[InputColumn, ...], tensors: tuple[GraphInput, ...]) -> None:
    """Check that the tensors can be made of the columns.

    Raises:
        ValueError: they cannot.
    """
    by_name = {column.name: column for column in columns}
    if len(by_name) != len(columns):
        raise ValueError("two columns have the same name")
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise ValueError("two inputs have the same name")
    for tensor in tensors:
        if tensor.column is not None and tensor.column not in by_name:
            raise ValueError(f"the input {tensor.name!r} names no column")
    used = set()
    for tensor, made_of in made_of_columns(columns, tensors):
        if tensor.shape != (len(made_of),):
            raise ValueError(f"the input {tensor.name!r} has another width than its columns")
        used |= {column.name for column in made_of}
        for column in made_of:
            _check_input(column, tensor)
    if unused := by_name.keys() - used:
        raise ValueError(f"the column {min(unused)!r} is not part of an input")


def _check_input(column: InputColumn, tensor: GraphInput) -> None:
    if tensor.dtype not in TENSOR_TYPES[column.dtype]:
        raise ValueError(f"the input {tensor.name!r} cannot be made of the column {column.name!r}")
    if column.nullable and tensor.dtype not in _WITH_MISSING:
        raise ValueError(f"the nullable column {column.name!r} must enter the graph as float32")
    if (tensor.part is None) == (column.dtype == "date"):
        raise ValueError(f"the input {tensor.name!r} must name a part of a date if, and only if, it is made of one")


def made_of_columns(
    columns: Sequence[InputColumn], tensors: Sequence[GraphInput]
) -> list[tuple[GraphInput, list[InputColumn]]]:
    """Return the columns of each input: the one that it names, or as many of the others as its matrix holds."""
    named = {tensor.column for tensor in tensors}
    by_name = {column.name: column for column in columns}
    others = iter([column for column in columns if column.name not in named])
    return [
        (tensor, [by_name[tensor.column]] if tensor.column is not None else list(islice(others, sum(tensor.shape[:1]))))
        for tensor in tensors
    ]


def is_matrix(columns: Sequence[InputColumn], tensors: Sequence[GraphInput]) -> bool:
    """Return whether the rows are one float32 matrix without missing values, as they are for most models."""
    return (
        len(tensors) == 1
        and tensors[0].column is None
        and tensors[0].dtype == "float32"
        and all(column.dtype == "float32" and not column.nullable for column in columns)
    )

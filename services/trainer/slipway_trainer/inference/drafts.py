"""What Slipway infers about a column: a feature, or a column to leave out."""

from dataclasses import dataclass, field
from typing import Literal

from slipway_core.columns import DatePart
from slipway_trainer.recipes.base import Label


@dataclass(frozen=True)
class ColumnDraft:
    """A feature.

    Attributes:
        notes: phrases about its values, for a comment.
    """

    name: str
    dtype: Literal["float32", "int64", "bool", "string", "date"]
    nullable: bool = False
    categories: tuple[str, ...] = ()
    parts: tuple[DatePart, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IgnoredDraft:
    """A column that is left out, with the reason, such as `is the same in every row`."""

    name: str
    reason: str


@dataclass(frozen=True)
class TargetDraft:
    """The target.

    Attributes:
        counts: the number of rows by class, in the order of the classes; empty for a regression.
        note: why it is a classification or a regression.
    """

    name: str
    counts: dict[Label, int] = field(default_factory=dict)
    note: str = ""

    @property
    def rarest(self) -> Label:
        """The class with the fewest rows."""
        return min(self.counts, key=lambda label: self.counts[label])


@dataclass(frozen=True)
class RecipeDraft:
    """A recipe to write.

    Attributes:
        file: the name of the data file.
        n_rows: its number of rows.
        extra_missing: its fields that stand for a missing value, in addition to those of every recipe.
        duplicate_share: the share of rows that repeat an earlier one.
    """

    name: str
    file: str
    n_rows: int
    target: TargetDraft
    columns: tuple[ColumnDraft, ...]
    ignored: tuple[IgnoredDraft, ...]
    extra_missing: tuple[str, ...] = ()
    duplicate_share: float = 0.0

    @property
    def is_matrix(self) -> bool:
        """Whether all features are float32 without missing values; then estimators receive one matrix."""
        return all(column.dtype == "float32" and not column.nullable for column in self.columns)

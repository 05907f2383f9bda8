"""Describe a registered model as a recipe, so that the gate, the bundle and MLflow treat it like a trained one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway_core.errors import FeaturesError, Problem
from slipway_core.manifest import label_text
from slipway_core.validation import did_you_mean
from slipway_trainer.errors import ForeignModelError
from slipway_trainer.features import Features, table_features
from slipway_trainer.features import signature_of as table_signature_of
from slipway_trainer.foreign.model import Cells, ForeignModel
from slipway_trainer.metrics import BINARY, METRICS, names_of
from slipway_trainer.recipes import Candidate, Column, Recipe
from slipway_trainer.recipes.base import NOT_SPLIT
from slipway_trainer.step_results import Split

_DEFAULT_METRICS = {"regression": "mae", "classification": "balanced_accuracy"}
# Stands for the target of a model that is registered without one.
NO_TARGET = "(no target)"


class ForeignRecipe(Recipe):
    """A model that Slipway did not train.

    Attributes:
        source: the address or the file of the model.
    """

    source: str

    @property
    def split_summary(self) -> str:
        """That the rows were not split: which rows the model was trained on is unknown."""
        return NOT_SPLIT

    @property
    def origin(self) -> str:
        """The model's address."""
        return f"registered from {self.source}"[:256]

    @property
    def scored_rows(self) -> str:
        """All rows of the data."""
        return "the rows of the data"


@dataclass(frozen=True)
class AllRows(Split):
    """Rows that are all scored.

    Attributes:
        scale: the standard deviation of the target, or without one, of the model's own predictions.
    """

    scale: float = 1.0

    @property
    def all_features(self) -> Features:
        """The rows, once."""
        return self.test_features

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.test_features)

    @property
    def target_scale(self) -> float:
        """The scale."""
        return self.scale


def recipe_of(
    name: str,
    source: str,
    flavor: str,
    model: ForeignModel,
    columns: Sequence[Column],
    *,
    target: str | None,
    rarest: int | None,
    metric: str | None,
    limits: Mapping[str, float],
) -> ForeignRecipe:
    """Return the recipe of a model.

    Args:
        name: the name to register it under.
        source: its address or file.
        flavor: MLflow's name of its library.
        model: the model.
        columns: the columns of its graph.
        target: the column with the true values; None without one.
        rarest: the class with the fewest rows, which precision, recall and f1 of two classes concern; None if unknown.
        metric: the metric of the comparison with Production; None for the default.
        limits: the floor or, if a lower value is better, the ceiling of each metric.

    Raises:
        ForeignModelError: a metric is unknown or needs what a registered model does not have.
    """
    is_binary = len(model.classes) == BINARY
    chosen = metric or ("roc_auc" if is_binary else _DEFAULT_METRICS[model.task])
    known = [one for one in names_of(model.task) if not METRICS[one].needs_quantile]
    known = [one for one in known if is_binary or not METRICS[one].needs_positive_class]
    for one in (chosen, *limits):
        if one not in known:
            raise ForeignModelError(
                f"{one!r} is not a metric of this {model.task}{did_you_mean(one, known) or ';'} the metrics are "
                f"{', '.join(known)}"
            )
    return ForeignRecipe(
        name=name,
        title=f"{name}, registered from {source}",
        task=model.task,
        data_file=f"{name}.csv",
        columns=tuple(columns),
        target=Column(name=target or NO_TARGET),
        classes=model.classes,
        candidates=(Candidate(name=flavor, build=lambda _parameters, _seed: model),),
        metric=chosen,
        floors={one: limit for one, limit in limits.items() if not METRICS[one].lower_is_better},
        ceilings={one: limit for one, limit in limits.items() if METRICS[one].lower_is_better},
        positive_class=model.classes[rarest] if is_binary and rarest is not None else None,
        # The share of rows compares trainings; these rows only score the model.
        min_rows_share=0.0,
        split="random",
        source=source,
    )


def graph_rows(recipe: Recipe, cells: Cells) -> Features:
    """Return rows as the graph takes them.

    Raises:
        FeaturesError: the API would reject a value.
    """
    if recipe.is_matrix:
        with np.errstate(over="ignore"):
            matrix = np.array(cells.tolist(), dtype=np.float32).reshape(len(cells), len(recipe.columns))
        if not np.isfinite(matrix).all():
            row, column = np.argwhere(~np.isfinite(matrix))[0]
            name, value = recipe.feature_names[column], cells[row, column]
            raise FeaturesError([Problem((), f"{name!r} must be within the range of a 32-bit float, not {value:g}")])
        return matrix
    return table_features(table_signature_of(recipe), [list(column) for column in cells.T])


def class_names(classes: Sequence[Any]) -> list[str]:
    """Return labels as text."""
    return [label_text(label) for label in classes]

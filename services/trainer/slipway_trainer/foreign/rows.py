"""Choose the rows on which a graph is compared with its model: of the data, of the input example, or drawn."""

from dataclasses import dataclass

import numpy as np

from slipway_trainer.errors import ForeignModelError
from slipway_trainer.foreign.columns import Feature
from slipway_trainer.foreign.data import DataFile, cells_of, classes_of, values_of
from slipway_trainer.foreign.drawn_rows import draw_cells
from slipway_trainer.foreign.model import Cells, ForeignModel
from slipway_trainer.foreign.recipe import class_names
from slipway_trainer.foreign.schema import cells_of_frame, example_of, features_of
from slipway_trainer.foreign.source import Source
from slipway_trainer.tasks.base import Target

DRAWN = "drawn rows"


@dataclass(frozen=True)
class Rows:
    """The rows to compare and score.

    Attributes:
        features: the model's columns.
        cells: (n_rows, n_columns) values as clients send them; None for a missing one.
        target: (n_rows,) class indices or values; empty without a target.
        what: what they are, for messages.
    """

    features: tuple[Feature, ...]
    cells: Cells
    target: Target
    what: str


def rows_of(source: Source, model: ForeignModel, data: DataFile | None) -> Rows:
    """Return the model's columns, and rows of them.

    Raises:
        ForeignModelError: the columns are unknown.
        DataRefusedError: the data does not match them.
    """
    example = example_of(source.model, str(source.folder))
    features = features_of(source.uri, model.known, source.model, example, None if data is None else data.features)
    if data is not None:
        cells = cells_of(data, features, gaps=model.gaps)
        target: Target = np.empty(0)
        if data.target is not None:
            target = classes_of(data, class_names(model.classes)) if model.classes else values_of(data)
        return Rows(model.described(features, cells), cells, target, f"the rows of {data.name}")
    if example is not None and example.shape[1] == len(features):
        cells = cells_of_frame(example)
        return Rows(model.described(features, cells), cells, np.empty(0), "the rows of the input example")
    features = model.described(features, None)
    words = [model.words(feature) for feature in features]
    for feature, known in zip(features, words, strict=True):
        if feature.kind == "string" and not (feature.categories or known):
            raise ForeignModelError(
                f"the column {feature.name!r} of {source.uri} holds text, and neither an input example nor an encoder "
                "shows which; pass a CSV file with rows as the model takes them: --data rows.csv"
            )
    return Rows(features, draw_cells(features, words, np.random.default_rng(0)), np.empty(0), DRAWN)

"""Compare a converted graph with its model, and score it."""

import time
from collections.abc import Sequence

import numpy as np

from slipway_core.errors import FeaturesError
from slipway_core.graph import Graph
from slipway_trainer.drawing import draw_features
from slipway_trainer.errors import DataRefusedError, ForeignModelError
from slipway_trainer.features import Features, TableFeatures, for_graph
from slipway_trainer.foreign.columns import Feature
from slipway_trainer.foreign.model import Cells, Converted, Expected, ForeignModel
from slipway_trainer.foreign.parity import check_parity
from slipway_trainer.foreign.recipe import AllRows, ForeignRecipe, graph_rows
from slipway_trainer.foreign.rows import DRAWN, Rows
from slipway_trainer.step_results import Evaluation, Fitted
from slipway_trainer.tasks import task_of

_DRAWN_AROUND = "rows drawn from the values of the columns"


def evaluate(
    recipe: ForeignRecipe, model: ForeignModel, converted: Converted, rows: Rows
) -> tuple[AllRows, Evaluation]:
    """Compare the graph with the model on the rows and on drawn rows, and score it if the rows have a target.

    Raises:
        ParityError: a prediction differs.
        ForeignModelError: the model rejects rows, or a metric that decides is undefined on them.
        DataRefusedError: the API would reject a value of the data.
    """
    try:
        given = graph_rows(recipe, rows.cells)
    except FeaturesError as error:
        raise DataRefusedError([f"the API would reject a value of {rows.what}: {error.problems[0].msg}"]) from error
    graph = Graph(converted.model, converted.names)
    expected = _predicted(model, rows.features, rows.cells, rows.what)
    scale = float(np.std(rows.target if len(rows.target) else expected.prediction))
    compared = [(rows.what, given, rows.cells, expected)]
    if rows.what != DRAWN:
        drawn, cells = _drawn(recipe, given)
        compared.append((_DRAWN_AROUND, drawn, cells, _predicted(model, rows.features, cells, _DRAWN_AROUND)))
    parity = max(
        check_parity(recipe, graph, sent, own, cells=cells, features=rows.features, scale=scale, what=what)
        for what, sent, cells, own in compared
    )
    outputs = graph.run(for_graph(given))
    metrics: dict[str, float] = {}
    if len(rows.target):
        metrics = task_of(recipe).score(outputs, rows.target)
        if undefined := [name for name in recipe.deciding_metrics if name not in metrics]:
            raise ForeignModelError(
                f"{undefined[0]} is undefined on {rows.what}, such as without rows of each class; pass more rows, or "
                "choose another metric with --metric"
            )
        metrics = {name: metrics[name] for name in recipe.deciding_metrics} | metrics
    fitted = Fitted(recipe.candidates[0], model, {"source": recipe.source}, (), time.time(), 0.0, 0.0)
    split = AllRows(given, rows.target, given, rows.target, scale=scale)
    return split, Evaluation(fitted, converted.model, converted.names, metrics, outputs, parity)


def _predicted(model: ForeignModel, features: Sequence[Feature], cells: Cells, what: str) -> Expected:
    try:
        return model.predict(features, cells)
    except ForeignModelError as error:
        advice = "pass rows that it takes"
        if what == DRAWN:
            advice = "pass a CSV file with rows as it takes them: --data rows.csv"
        elif what == _DRAWN_AROUND:
            advice = "make it take every value of the types of its columns, such as with handle_unknown='ignore'"
        if "rejects rows" not in str(error):
            raise
        raise ForeignModelError(f"{error} of {what}; {advice}") from error


def _drawn(recipe: ForeignRecipe, given: Features) -> tuple[Features, Cells]:
    """Return rows drawn around the given ones, as the graph takes them and as clients send them."""
    drawn = draw_features(recipe, given)
    if isinstance(drawn, TableFeatures):
        return drawn, drawn.cells
    return drawn, drawn.astype(np.float64).astype(object)

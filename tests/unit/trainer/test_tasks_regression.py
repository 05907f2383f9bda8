"""Regression: scores as computed by hand, and parity in the target's own scale."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from slipway_core.graph import Outputs
from slipway_core.rows import FloatMatrix
from slipway_trainer.errors import ParityError
from slipway_trainer.tasks import task_of
from support.bike import BIKE

TASK = task_of(BIKE)
TARGET = np.array([0.0, 10.0, 20.0, 30.0])
ROWS = np.zeros((4, 12), dtype=np.float32)


@dataclass
class FakeEstimator:
    """An estimator with fixed predictions."""

    values: NDArray[np.float64]

    def predict(self, _rows: FloatMatrix) -> NDArray[np.float64]:
        return self.values


def answers(*values: float) -> Outputs:
    return Outputs(np.array(values, dtype=np.float32), None)


def difference(expected: list[float], *found: float, scale: float = 10.0) -> float:
    return TASK.difference(FakeEstimator(np.array(expected)), answers(*found), ROWS[: len(found)], scale)


def test_the_scores_are_those_computed_by_hand() -> None:
    scores = TASK.score(answers(2, 9, 20, 35), TARGET)

    assert scores == pytest.approx(
        {
            # The squares of the errors sum to 4 + 1 + 0 + 25, those about the mean of 15 to 500.
            "r2": 1 - 30 / 500,
            "rmse": (30 / 4) ** 0.5,
            "mae": (2 + 1 + 0 + 5) / 4,
            "median_absolute_error": 1.5,
        }
    )


def test_always_saying_the_mean_scores_nothing() -> None:
    assert TASK.score(answers(15, 15, 15, 15), TARGET)["r2"] == pytest.approx(TASK.chance)


def test_equal_answers_do_not_differ() -> None:
    assert difference([0.0, 5.0], 0.0, 5.0) == 0


def test_difference_is_measured_by_value_and_targets_spread() -> None:
    # Allowed is 1e-5 × (90 + 10).
    assert difference([90.0], 90.0005) == pytest.approx(0.5, rel=0.05)
    assert difference([90.0], 90.002) == pytest.approx(2.0, rel=0.05)


def test_at_zero_the_spread_alone_is_the_measure() -> None:
    assert difference([0.0], 0.00005) == pytest.approx(0.5)
    assert difference([0.0], 0.0002) == pytest.approx(2.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_non_numeric_output_fails_parity(wrong: float) -> None:
    assert not difference([0.0, 1.0], 0.0, wrong) <= 1


def test_another_shape_is_refused() -> None:
    with pytest.raises(ParityError, match="the shape of the exported graph's values"):
        TASK.difference(FakeEstimator(np.zeros(3)), answers(0, 0), ROWS[:2], 1.0)


def test_the_target_is_taken_as_it_is() -> None:
    values = pd.Series([1, 2, 3])

    assert TASK.encode(values).dtype == np.float64
    assert TASK.decode(TASK.encode(values)).tolist() == [1, 2, 3]


def test_figures_show_predictions_and_residuals() -> None:
    figures = {figure.name: figure for figure in TASK.figures(answers(2, 9, 20, 35), TARGET, "forest")}

    assert list(figures) == ["prediction_against_truth", "residuals"]
    assert figures["prediction_against_truth"].data == {"true": TARGET.tolist(), "prediction": [2, 9, 20, 35]}
    assert figures["residuals"].data["p50"] == -1
    assert sum(figures["residuals"].data["counts"]) == 4


@pytest.mark.parametrize("changes", [{"metric": "mape"}, {"ceilings": {"mape": 0.2}}])
def test_target_of_zero_is_rejected_if_a_metric_divides_by_it(changes: dict[str, object]) -> None:
    task = task_of(BIKE.model_copy(update=changes))

    (finding,) = task.check_target(np.array([1.0, 0.0, 3.0]))

    assert finding.startswith("the target 'cnt' is 0 in 1 of 3 rows, where mape is undefined; ")
    assert "--set metric=mae" in finding
    assert list(task.check_target(TARGET + 1)) == []
    assert list(TASK.check_target(np.array([1.0, 0.0, 3.0]))) == []

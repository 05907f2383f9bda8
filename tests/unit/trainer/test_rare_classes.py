"""Rare classes: every rejection names a setting that changes it, and with that setting the data is accepted."""

from typing import Any

import numpy as np
import pytest

from slipway_core.graph import Outputs
from slipway_trainer.data_checks import find_data_problems
from slipway_trainer.errors import DataRefusedError, TrainingError
from slipway_trainer.gate import Challenger, decide
from slipway_trainer.overrides import override
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Dataset, Split
from slipway_trainer.steps.evaluate import evaluate
from slipway_trainer.steps.report import figures_of
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate
from slipway_trainer.tasks import task_of
from support.fraud import FRAUD, fraud_frame, fraud_table

DEFAULTS = FRAUD.model_copy(update={"min_class_share": Recipe.model_fields["min_class_share"].default})


def setting_of(finding: str) -> str:
    """Return the first setting that a finding proposes."""
    return finding.partition("--set ")[2].split(",")[0]


@pytest.mark.parametrize(
    ("frame", "beginning", "setting"),
    [
        pytest.param(
            {}, "the class 'fraud' has 80 of 20000 rows (0.40%), less than", "min_class_share=0.004", id="share"
        ),
        pytest.param(
            {"frauds": 5}, "the class 'fraud' has 5 rows, fewer than the 6 that 3 folds require", "folds=2", id="folds"
        ),
        pytest.param(
            {"rows": 2_000, "frauds": 100, "shift": 30},
            "'amount' alone predicts the target 'label' (balanced_accuracy 1.0000",
            "leakage_score=1",
            id="separable",
        ),
        pytest.param(
            {"rows": 8_000, "frauds": 400, "shift": 5.4},
            "'distance' alone predicts the target 'label' (balanced_accuracy 0.99",
            "leakage_score=0.99",
            id="nearly separable",
        ),
        pytest.param(
            {"rows": 3_000, "frauds": 100, "shift": 0.25},
            "the features hardly predict the target 'label'",
            "min_skill=0.",
            id="weak features",
        ),
        pytest.param(
            {"rows": 3_000, "frauds": 100, "shift": 0},
            "the features hardly predict the target 'label'",
            "min_skill=0",
            id="no relation",
        ),
    ],
)
def test_setting_that_a_rejection_names_accepts_the_data(frame: dict[str, Any], beginning: str, setting: str) -> None:
    data = fraud_frame(**frame)
    findings = find_data_problems(DEFAULTS, data)

    assert findings[0].startswith(beginning)
    assert setting_of(findings[0]).startswith(setting)
    settings = [setting_of(finding) for finding in findings]
    # With fewer folds, the class is still rare.
    rest = find_data_problems(override(DEFAULTS, settings), data)
    assert find_data_problems(override(DEFAULTS, [*settings, *map(setting_of, rest)]), data) == []


def test_share_of_a_class_may_be_tiny() -> None:
    (finding,) = find_data_problems(DEFAULTS, fraud_frame(rows=200_000, frauds=10, shift=3))

    assert setting_of(finding) == "min_class_share=0"


def test_zero_skill_turns_the_check_of_shuffled_labels_off() -> None:
    data = fraud_frame(rows=3_000, frauds=100)
    data["label"] = data["label"].sample(frac=1, random_state=1).to_numpy()

    assert "hardly predict" in find_data_problems(FRAUD, data)[0]
    assert find_data_problems(override(FRAUD, ["min_skill=0"]), data) == []


def test_rare_class_is_stratified_and_missing_class_names_settings() -> None:
    split = split_rows(FRAUD, fraud_table())
    assert (split.test_target == 0).sum() == pytest.approx(16, abs=8)

    few = override(FRAUD, ["min_class_share=0", "split=random", "test_fraction=0.02"])
    with pytest.raises(
        DataRefusedError, match=r"row of the class 'fraud'; .* --set split=stratified, .* test_fraction"
    ):
        split_rows(few, validate(few, Dataset(fraud_frame(2_000, 6, 3), "version", "memory")))


def test_fold_without_the_positive_class_names_settings() -> None:
    features = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    target = np.ones(60, dtype=np.int64)
    target[:6] = 0
    recipe = FRAUD.model_copy(update={"metric": "recall", "split": "time"})

    with pytest.raises(
        TrainingError, match=r"its recall is nan on a fold; use fewer folds with --set folds=N, or .* --set metric=NAME"
    ):
        train(recipe, recipe.candidates[0], Split(features, target, features, target), lambda _done, _total: None)


@pytest.mark.parametrize("search", [{}, {"C": (0.1, 1.0)}], ids=["fit", "search"])
def test_fold_with_one_class_to_train_on_names_settings(search: dict[str, tuple[float, ...]]) -> None:
    features = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    target = np.ones(60, dtype=np.int64)
    target[40:50] = 0
    recipe = FRAUD.model_copy(update={"metric": "accuracy", "split": "time"})
    candidate = recipe.candidates[0].model_copy(update={"search": search})

    with pytest.raises(
        TrainingError, match=r"only the class 'legitimate'; .* --set folds=N, .* --set split=stratified"
    ):
        train(recipe, candidate, Split(features, target, features, target), lambda _done, _total: None)


@pytest.mark.parametrize("frauds", [10, 80])
def test_every_metric_is_measured_and_drawn_on_rare_classes(frauds: int) -> None:
    recipe = override(FRAUD, ["min_class_share=0", "metric=roc_auc"])
    split = split_rows(recipe, validate(recipe, Dataset(fraud_frame(20_000, frauds), "version", "memory")))

    evaluation = evaluate(recipe, train(recipe, recipe.candidates[1], split, lambda _done, _total: None), split)

    importance = [*figures_of(recipe, evaluation, split)][-1].data["features"]
    assert importance["amount"]["mean"] > importance["hour"]["mean"]
    gate_result = decide(
        Challenger(evaluation.metrics, 20_000), None, metric="roc_auc", floors={"recall": 1.01}, ceilings={"brier": 0}
    )
    assert [check.passed for check in gate_result.checks] == [False, True, False]


@pytest.mark.parametrize(
    ("positive", "drawn"), [("fraud", "fraud"), ("legitimate", "legitimate"), (None, "legitimate")]
)
def test_curves_are_those_of_the_positive_class(positive: str | None, drawn: str) -> None:
    recipe = FRAUD.model_copy(update={"positive_class": positive})
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], dtype=np.float32)

    figures = task_of(recipe).figures(Outputs(np.array([0, 1, 1]), probabilities), np.array([0, 1, 0]), "payments")

    data = {figure.name: figure.data for figure in figures}
    for name in ("roc", "precision_recall", "calibration"):
        assert list(data[name]["classes"]) == [drawn]
    curve = data["precision_recall"]["classes"][drawn]
    assert len(curve["threshold"]) == len(curve["precision"]) - 1 == len(curve["recall"]) - 1


def test_class_weight_can_be_set_and_reaches_the_estimator() -> None:
    recipe = override(FRAUD, ["forest.class_weight=balanced_subsample", "linear.class_weight=null"])
    split = split_rows(recipe, fraud_table())

    linear, forest = (train(recipe, c, split, lambda _done, _total: None).estimator for c in recipe.candidates)

    assert linear[-1].class_weight is None
    assert forest.class_weight == "balanced_subsample"

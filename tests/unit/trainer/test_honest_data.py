"""Well-known data sets: honest data is accepted, and every kind of leak is rejected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier

from slipway_trainer.errors import DataRefusedError
from slipway_trainer.recipes import Candidate, Column, Recipe
from slipway_trainer.step_results import Dataset, Table
from slipway_trainer.steps.evaluate import evaluate
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate


def recipe_of(frame: pd.DataFrame, **changes: Any) -> Recipe:
    """Return a recipe for a frame whose last column is the target; a target of text makes a classifier."""
    *features, target = frame.columns
    labels = () if pd.api.types.is_numeric_dtype(frame[target]) else tuple(sorted(frame[target].unique()))
    fields: dict[str, Any] = {
        "name": "honest",
        "title": "Honest data",
        "task": "classification" if labels else "regression",
        "data_file": "honest.csv",
        "fetch": lambda folder: frame.to_csv(folder / "honest.csv", index=False),
        "columns": [Column(name=name) for name in features],
        "target": Column(name=target),
        "classes": labels,
        "candidates": [Candidate(name="forest", build=_forest)],
        "metric": "accuracy" if labels else "r2",
        "floors": {},
        "split": "stratified" if labels else "random",
    }
    return Recipe.model_validate({**fields, **changes})


def _forest(_parameters: object, seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=30, random_state=seed)


def checked(frame: pd.DataFrame, **changes: Any) -> Table:
    return validate(recipe_of(frame, **changes), Dataset(frame, "version", "memory"))


def labelled(load: Callable[..., Any]) -> pd.DataFrame:
    frame: pd.DataFrame = load(as_frame=True).frame
    return frame.assign(target=[f"class {code}" for code in frame["target"]])


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer], ids=["wine", "breast cancer"])
def test_well_known_classes_are_accepted(load: Callable[..., Any]) -> None:
    assert len(checked(labelled(load)).target) > 100


def test_regression_that_trees_fit_badly_is_accepted() -> None:
    assert len(checked(load_diabetes(as_frame=True).frame).target) == 442


def test_rare_class_in_many_rows_is_checked_completely() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(60_000, 2)), columns=["amount", "hour"]).assign(fraud="no")
    frame.loc[frame.index[:30], ["amount", "fraud"]] = [3.0, "yes"]
    frame["amount"] += random.normal(scale=0.7, size=len(frame))

    assert len(checked(frame, min_class_share=0, max_duplicate_share=1).target) == 60_000


@pytest.mark.parametrize("name", ["id", "Unnamed: 0", "recorded_at"], ids=["an id", "an index", "a time"])
def test_unique_unused_columns_are_accepted(name: str) -> None:
    frame = load_diabetes(as_frame=True).frame
    values = (
        pd.date_range("2026-01-01", periods=len(frame), freq="h").astype(str) if name == "recorded_at" else range(442)
    )
    recipe = recipe_of(frame)

    table = validate(recipe, Dataset(frame.assign(**{name: values}), "version", "memory"))

    assert len(table.target) == 442


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(np.log, id="its logarithm"),
        pytest.param(
            lambda target: target * np.random.default_rng(1).uniform(0.98, 1.02, len(target)), id="within 2 %"
        ),
        pytest.param(lambda target: -target, id="its negative"),
    ],
)
def test_leak_is_found_despite_a_few_huge_values(spoil: Callable[[Any], Any]) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(1_500, 3)), columns=["a", "b", "c"])
    frame["price"] = np.exp(2 * frame["a"] + random.normal(size=1_500))
    frame["b"] = spoil(frame["price"])

    with pytest.raises(DataRefusedError, match="'b' alone predicts the target 'price'"):
        checked(frame)


def test_copy_of_the_target_in_few_rows_is_found() -> None:
    frame = load_diabetes(as_frame=True).frame.head(80)

    with pytest.raises(DataRefusedError, match="the features together add up to the target"):
        checked(frame.assign(bmi=frame["target"] * 2 + 1))


@pytest.mark.parametrize("seed", range(10))
def test_shuffled_labels_of_few_rows_are_refused(seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = labelled(load_wine).sample(60, random_state=seed)

    with pytest.raises(DataRefusedError, match="hardly predict the target"):
        checked(frame.assign(target=random.permutation(frame["target"])))


def test_copy_of_the_labels_in_few_rows_is_found() -> None:
    frame = labelled(load_wine).sample(60, random_state=0)

    with pytest.raises(DataRefusedError, match="'ash' alone predicts the target 'target'"):
        checked(frame.assign(ash=frame["target"].str[-1].astype(float)))


@pytest.mark.parametrize("seed", range(5))
def test_few_rows_of_honest_classes_are_accepted(seed: int) -> None:
    assert len(checked(labelled(load_wine).sample(60, random_state=seed)).target) == 60


def test_numeric_labels_are_labels(tmp_path: Path) -> None:
    frame = labelled(load_wine)
    recipe = recipe_of(frame.assign(target=frame["target"].str[-1]))
    assert recipe.classes == ("0", "1", "2")

    dataset = extract(recipe, data=None, data_dir=tmp_path / "none", workdir=tmp_path)

    assert np.bincount(validate(recipe, dataset).target.astype(int)).tolist() == [59, 71, 48]


def test_binary_forest_with_probabilities_above_one_is_scored() -> None:
    frame = labelled(load_breast_cancer)
    recipe = recipe_of(frame, folds=2)
    split = split_rows(recipe, checked(frame, folds=2))

    evaluation = evaluate(recipe, train(recipe, recipe.candidates[0], split, lambda _done, _total: None), split)

    assert evaluation.metrics["accuracy"] > 0.9
    assert 0 < evaluation.metrics["log_loss"] < 1


DAYS = pd.date_range("2026-01-01", periods=442, freq="D")


def in_time(dates: object) -> tuple[Recipe, Dataset]:
    frame = load_diabetes(as_frame=True).frame
    recipe = recipe_of(frame, split="time", time_columns=("day",))
    return recipe, Dataset(frame.assign(day=dates), "version", "memory")


def test_rows_are_ordered_by_their_dates() -> None:
    order = np.random.default_rng(0).permutation(442)
    recipe, dataset = in_time(DAYS.strftime("%Y-%m-%d"))

    table = validate(recipe, Dataset(dataset.frame.iloc[order], "version", "memory"))

    assert table.target.tolist() == dataset.frame["target"].tolist()


@pytest.mark.parametrize("written", ["%d/%m/%Y", "day %j"])
def test_dates_of_another_format_are_rejected(written: str) -> None:
    with pytest.raises(
        DataRefusedError, match=r"'day' must be a number or a date such as 2026-11-21, got '.*' in lines? 2, "
    ):
        validate(*in_time(DAYS.strftime(written)))


def test_empty_date_is_rejected_with_its_line() -> None:
    dates = DAYS.strftime("%Y-%m-%d").to_series(index=range(442))
    dates[7] = None

    with pytest.raises(DataRefusedError, match=r"got nan in line 9; .* --set split=random$"):
        validate(*in_time(dates))

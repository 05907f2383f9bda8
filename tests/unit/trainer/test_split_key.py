"""The split key: rows of one customer stay together, and a column that cannot be a key is rejected."""

from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from slipway_core.rows import FloatMatrix
from slipway_trainer.errors import DataRefusedError, TrainingError
from slipway_trainer.recipes import Candidate, Column, Recipe
from slipway_trainer.step_results import Dataset, Split, Table
from slipway_trainer.steps import train as train_step
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate
from slipway_trainer.tasks.base import Target

N_ROWS = 300
OTHER = "set another column with --set split_key=NAME, or split by row with --set split_key=null"
TOO_FEW = "fewer than the 5 that 4 folds and the test rows require"
# The customers of the rows that a call of `fit` or `predict` has.
Calls = list[tuple[str, frozenset[float]]]


def frame(n_customers: int = 40) -> pd.DataFrame:
    """Return rows whose feature `code` is the number of their customer, with a predictable target."""
    random = np.random.default_rng(5)
    code = random.permutation(np.arange(N_ROWS) % n_customers)
    size = random.normal(size=N_ROWS)
    amount = size + random.normal(0, 0.3, N_ROWS)
    label = np.where(amount > 0, "large", "small")
    customer = [f"c{one}" for one in code]
    return pd.DataFrame({"code": code, "size": size, "customer": customer, "amount": amount, "label": label})


def recipe(task: str = "classification", candidate: Candidate | None = None, **changes: Any) -> Recipe:
    is_classification = task == "classification"
    fields: dict[str, Any] = {
        "name": "orders",
        "title": "Orders",
        "task": task,
        "data_file": "orders.csv",
        "columns": [Column(name="code"), Column(name="size")],
        "target": Column(name="label" if is_classification else "amount"),
        "classes": ("large", "small") if is_classification else (),
        "candidates": [candidate or recording([], task)],
        "metric": "accuracy" if is_classification else "r2",
        "floors": {},
        "split": "stratified" if is_classification else "random",
        "split_key": "customer",
        "folds": 4,
        "max_duplicate_share": 1,
    }
    return Recipe.model_validate({**fields, **changes})


def recording(calls: Calls, task: str) -> Candidate:
    """Return a candidate that records the customers of the rows that it fits and predicts."""
    kind: Any = DecisionTreeClassifier if task == "classification" else DecisionTreeRegressor

    class Recorder(kind):  # type: ignore[misc]  # scikit-learn has no types
        def fit(self, rows: FloatMatrix, target: Target) -> Self:
            calls.append(("fit", frozenset(rows[:, 0].tolist())))
            super().fit(rows, target)
            return self

        def predict(self, rows: FloatMatrix) -> Target:
            calls.append(("predict", frozenset(rows[:, 0].tolist())))
            found: Target = super().predict(rows)
            return found

    return Candidate(
        name="recorder",
        build=lambda parameters, seed: Recorder(**parameters, random_state=seed),
        search={"max_depth": (1, 2)},
    )


def table(of: Recipe, data: pd.DataFrame) -> Table:
    return validate(of, Dataset(data, "version", "memory"))


def split(of: Recipe, data: pd.DataFrame) -> Split:
    return split_rows(of, table(of, data))


@pytest.mark.parametrize("balanced_keys", [train_step.MAX_BALANCED_KEYS, 10])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_of_a_key_are_in_one_set_and_one_fold(
    task: str, balanced_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_step, "MAX_BALANCED_KEYS", balanced_keys)
    calls: Calls = []
    candidate = recording(calls, task)
    of = recipe(task, candidate)

    rows = split(of, frame())
    train(of, candidate, rows, lambda _done, _total: None)

    test_customers = frozenset(rows.test_features[:, 0].tolist())
    assert 2 < len(test_customers) < 16
    assert not test_customers & frozenset(rows.train_features[:, 0].tolist())
    # Of each fold: two parameters on three inner folds, then the fit that the fold scores. Last, the final fit.
    assert len(calls) == 4 * 2 * (2 * 3 + 1) + 2 * 2 * 3 + 1
    for (first, fitted), (second, scored) in zip(calls[:-1:2], calls[1::2], strict=True):
        assert (first, second) == ("fit", "predict")
        assert scored
        assert not fitted & scored
        assert not (fitted | scored) & test_customers
    outer = [scored for _, scored in calls[13 : 4 * 14 : 14]]
    assert sum(map(len, outer)) == len(frozenset.union(*outer)) == 40 - len(test_customers)


def test_customers_stay_on_their_side_as_rows_are_added() -> None:
    before = split(recipe(), frame(40))

    after = split(recipe(), pd.concat([frame(60), frame(40)]))

    assert set(before.test_features[:, 0]) == {code for code in after.test_features[:, 0] if code < 40}


def test_numbered_customers_stay_when_one_has_a_name() -> None:
    numbered = frame(40).assign(customer=frame(40)["code"])
    named = numbered.astype({"customer": "str"})
    named.loc[N_ROWS - 1, "customer"] = "walk-in"

    sides = [set(split(recipe(), data).test_features[:, 0]) for data in (numbered, named)]

    assert sides[0] ^ sides[1] <= {numbered["code"].iloc[-1]}


@pytest.mark.parametrize(
    ("customer", "finding"),
    [
        (
            pd.Series([*(f"c{one}" for one in range(150)), None, *["c1"] * 147, "  ", None]),
            f"the split_key 'customer' is empty or NA in lines 152, 300, 301; fill it in, remove the rows, or {OTHER}",
        ),
        (
            pd.Series(np.arange(N_ROWS) % 4, dtype=np.float64).mask(np.arange(N_ROWS) == 7),
            f"the split_key 'customer' is empty or NA in line 9; fill it in, remove the rows, or {OTHER}",
        ),
        (
            pd.Series(np.arange(N_ROWS) % 4),
            f"the split_key 'customer' has 4 distinct values, {TOO_FEW}; use fewer folds with --set folds=3, {OTHER}",
        ),
        (
            pd.Series(["one"] * N_ROWS),
            f"the split_key 'customer' has 1 distinct value, {TOO_FEW}; {OTHER}",
        ),
    ],
    ids=["empty text", "empty number", "four", "one"],
)
def test_unusable_key_is_rejected(customer: "pd.Series[Any]", finding: str) -> None:
    with pytest.raises(DataRefusedError) as caught:
        table(recipe(), frame().assign(customer=customer))

    assert caught.value.findings == (finding,)


@pytest.mark.parametrize(("key", "meant"), [("custmer", "; did you mean 'customer'?"), ("patient", ";")])
def test_key_outside_the_columns_is_rejected(key: str, meant: str) -> None:
    with pytest.raises(DataRefusedError) as caught:
        table(recipe(split_key=key), frame())

    names = ", ".join(frame().columns)
    assert caught.value.findings == (
        f"the split_key {key!r} is not a column of the file{meant} the file has {names}; {OTHER}",
    )


def test_key_may_be_a_feature() -> None:
    rows = split(recipe(split_key="code"), frame())

    assert not set(rows.test_features[:, 0]) & set(rows.train_features[:, 0])


def test_class_of_a_single_key_is_reported_by_name() -> None:
    data = frame(60)
    data["label"] = data["label"].mask(data["code"] < 3, "huge").mask(data["code"] == 3, "huge")
    data["customer"] = data["customer"].mask(data["code"] <= 3, "c0")
    of = recipe(classes=("large", "small", "huge"))

    with pytest.raises(DataRefusedError) as caught:
        split(of, data)

    [finding] = caught.value.findings
    assert finding.endswith(
        "row of the class 'huge'; add rows with other values of the split_key 'customer' of the class, or remove it "
        "from the recipe's `classes`"
    )


def test_fraction_without_a_key_is_reported() -> None:
    with pytest.raises(TrainingError) as caught:
        split(recipe(split="random", test_fraction=0.0001), frame())

    assert str(caught.value) == (
        "test_fraction 0.0001 of 40 values of the split_key 'customer' leaves no test rows; choose a larger one with "
        "--set test_fraction=VALUE"
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_too_few_keys_for_the_folds_are_reported(task: str) -> None:
    of = recipe(task, folds=5, test_fraction=0.5)

    with pytest.raises(TrainingError) as caught:
        train(of, of.candidates[0], split(of, frame(6)), lambda _done, _total: None)

    assert str(caught.value) == (
        "recorder cannot be fitted: 2 values of the split_key 'customer' are too few for 5 folds; use fewer with --set "
        "folds=VALUE, add rows with other values, or choose another column with --set split_key=NAME"
    )

"""Payments of which few are fraud, from a seeded generator, and a recipe for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway_trainer.recipes import Candidate, Column, Recipe
from slipway_trainer.step_results import Dataset, Table
from slipway_trainer.steps.validate import validate

FEATURES = ("amount", "distance", "hour", "age")


def fraud_frame(rows: int = 20_000, frauds: int = 80, shift: float = 2.0, seed: int = 0) -> pd.DataFrame:
    """Return payments; the amount and the distance of a fraud are higher by `shift` standard deviations."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, len(FEATURES))), columns=list(FEATURES))
    is_fraud = np.arange(rows) < frauds
    frame.loc[is_fraud, ["amount", "distance"]] += shift
    frame["label"] = np.where(is_fraud, "fraud", "legitimate")
    return frame.sample(frac=1, random_state=seed, ignore_index=True)


def fraud_csv(folder: Path) -> None:
    """Write the payments as the recipe's data file."""
    fraud_frame().to_csv(folder / "payments.csv", index=False)


def fraud_table() -> Table:
    """Return the payments as matrices."""
    return validate(FRAUD, Dataset(fraud_frame(), "version", "memory"))


def linear(parameters: Mapping[str, Any], seed: int) -> Any:
    """Return a linear classifier."""
    return make_pipeline(StandardScaler(), LogisticRegression(**parameters, random_state=seed))


def forest(parameters: Mapping[str, Any], seed: int) -> Any:
    """Return a forest."""
    return RandomForestClassifier(**parameters, random_state=seed)


FRAUD = Recipe(
    name="payments",
    title="Fraud by the properties of a payment",
    task="classification",
    data_file="payments.csv",
    fetch=fraud_csv,
    columns=tuple(Column(name=name) for name in FEATURES),
    target=Column(name="label"),
    # The positive class is the first one, unlike scikit-learn's default.
    classes=("fraud", "legitimate"),
    candidates=(
        Candidate(name="linear", parameters={"class_weight": "balanced"}, build=linear),
        Candidate(
            name="forest", parameters={"class_weight": "balanced", "n_estimators": 5, "max_depth": 4}, build=forest
        ),
    ),
    metric="average_precision",
    floors={"recall": 0.5},
    ceilings={"brier": 0.2},
    positive_class="fraud",
    threshold=0.5,
    split="stratified",
    folds=3,
    min_class_share=0.003,
)

"""Fraud among card payments: a rare class, in generated data with columns of every type and gaps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from slipway_trainer.recipes.base import Candidate, Recipe
from slipway_trainer.recipes.columns import Column

ROWS = 20_000
FRAUD_SHARE = 0.004
MERCHANTS = ("electronics", "fuel", "gambling", "groceries", "restaurant", "travel")
COUNTRIES = ("AT", "CH", "DE", "FR", "IT")
UNKNOWN_COUNTRY = "unknown"
TEXTS = ["merchant", "country"]
NUMBERS = ["amount", "age", "is_online", "earlier_payments", "paid_at_weekday", "paid_at_hour"]


def generate(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Return payments, of which FRAUD_SHARE are fraud, with gaps in `country` and `age`.

    Fraud is likelier for large amounts, online, at night, with electronics or gambling, and for cards with few earlier
    payments. Chance decides, too, so that no model separates the classes completely.
    """
    random = np.random.default_rng(seed)
    merchant = random.choice(MERCHANTS, rows, p=[0.1, 0.15, 0.03, 0.42, 0.22, 0.08])
    country = random.choice(COUNTRIES, rows, p=[0.08, 0.7, 0.1, 0.07, 0.05])
    amount = np.round(random.lognormal(3.5, 1.0, rows), 2)
    paid_at = pd.Timestamp("2026-01-01") + pd.to_timedelta(random.integers(0, 180 * 24 * 60, rows), unit="min")
    age = random.integers(18, 90, rows)
    is_online = random.random(rows) < 0.3  # noqa: PLR2004
    earlier = random.negative_binomial(1, 0.02, rows)
    odds = (
        3.0 * np.log(amount)
        + 5.0 * is_online
        + 4.0 * (paid_at.hour < 6)  # noqa: PLR2004
        + 4.0 * is_online * np.isin(merchant, ["electronics", "gambling"])
        + 2.5 * (country != "CH")
        - 1.5 * np.log1p(earlier)
        + random.gumbel(size=rows)
    )
    is_fraud = odds > np.quantile(odds, 1 - FRAUD_SHARE)
    return pd.DataFrame(
        {
            "amount": amount,
            "merchant": merchant,
            "country": pd.Series(country).mask(random.random(rows) < 0.05),  # noqa: PLR2004
            "paid_at": paid_at.strftime("%Y-%m-%dT%H:%M"),
            "age": pd.Series(age, dtype="Int64").mask(random.random(rows) < 0.1),  # noqa: PLR2004
            "is_online": is_online,
            "earlier_payments": earlier,
            "is_fraud": is_fraud,
        }
    )


def _write_csv(folder: Path) -> None:
    generate().to_csv(folder / "fraud.csv", index=False, lineterminator="\n")


def _logistic_regression(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401  # scikit-learn has no types
    encoded = ColumnTransformer(
        [
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), TEXTS),
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), NUMBERS),
        ]
    )
    return Pipeline([("encode", encoded), ("model", LogisticRegression(**parameters, random_state=seed))])


def _random_forest(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401
    # The trees handle missing numbers themselves.
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encoded = ColumnTransformer([("texts", encoder, TEXTS), ("numbers", "passthrough", NUMBERS)])
    return Pipeline([("encode", encoded), ("model", RandomForestClassifier(**parameters, random_state=seed))])


RECIPE = Recipe(
    name="fraud",
    title="Fraud among card payments, a rare class",
    task="classification",
    data_file="fraud.csv",
    fetch=_write_csv,
    columns=(
        Column(name="amount", unit="CHF", minimum=0.0, maximum=1e6, description="Amount of the payment."),
        Column(name="merchant", dtype="string", categories=MERCHANTS, description="Business of the merchant."),
        Column(
            name="country",
            dtype="string",
            nullable=True,
            missing=UNKNOWN_COUNTRY,
            categories=COUNTRIES,
            on_unknown="ignore",
            description="Country of the merchant, as ISO 3166-1 alpha-2.",
        ),
        Column(name="paid_at", dtype="date", parts=("weekday", "hour"), description="Time of the payment."),
        Column(name="age", nullable=True, unit="years", minimum=0.0, maximum=130.0, description="Age of the customer."),
        Column(name="is_online", dtype="bool", description="Whether the card was not present."),
        Column(name="earlier_payments", dtype="int64", minimum=0, description="Number of payments with this card."),
    ),
    target=Column(name="is_fraud"),
    classes=(False, True),
    candidates=(
        Candidate(
            name="logistic-regression",
            parameters={"C": 1.0, "max_iter": 1_000, "class_weight": "balanced"},
            build=_logistic_regression,
        ),
        Candidate(
            name="random-forest",
            parameters={"n_estimators": 60, "max_depth": 8, "min_samples_leaf": 10, "class_weight": "balanced"},
            build=_random_forest,
        ),
    ),
    metric="average_precision",
    floors={"average_precision": 0.3, "recall": 0.5},
    positive_class=True,
    threshold=0.5,
    max_regression=0.05,
    split="stratified",
    folds=3,
    min_class_share=0.002,
)

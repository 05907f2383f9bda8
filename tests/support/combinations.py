"""Orders, a data set with columns of every type and gaps, and recipes for one estimator on it."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from slipway_trainer.recipes import Candidate, Column, Recipe
from slipway_trainer.steps.extract import extract
from support.trained import Trained, trained

CITIES = ("Basel", "Bern", "Zürich, HB")
TIERS = (1.0, 2.0, 5.0)
COLUMNS = (
    Column(name="city", dtype="string", categories=CITIES),
    Column(name="country", dtype="string", nullable=True, missing="(none)"),
    Column(name="tier", dtype="int64", categories=TIERS),
    Column(name="size", nullable=True),
    Column(name="weight", dtype="float64"),
    Column(name="visits", dtype="int64", minimum=0),
    Column(name="member", dtype="bool"),
    Column(name="consent", dtype="bool", nullable=True),
    Column(name="day", dtype="date", parts=("month", "weekday", "hour")),
)
TEXTS = ["city", "country"]
CODES = ["tier"]
NUMBERS = ["size", "weight", "visits", "member", "consent", "day_month", "day_weekday", "day_hour"]
TARGETS: dict[str, tuple[Any, ...]] = {
    "texts": ("large", "medium", "small"),
    "integers": (10, -30),
    "booleans": (False, True),
    "values": (),
}
ROWS = 300


@functools.cache
def orders() -> pd.DataFrame:
    """Return the orders as a CSV file has them: text, empty for a missing value."""
    random = np.random.default_rng(5)
    city, tier = random.choice(CITIES, ROWS), random.choice(TIERS, ROWS)
    country = random.choice(["AT", "CH", "DE", ""], ROWS, p=[0.3, 0.4, 0.2, 0.1])
    size, weight = random.uniform(0, 10, ROWS).astype(np.float32), random.uniform(1, 4, ROWS)
    visits = random.integers(0, 40, ROWS)
    member, consent = random.random(ROWS) < 0.5, random.choice(["true", "false", ""], ROWS)
    hours = random.integers(0, 24 * 365, ROWS)
    day = (pd.Timestamp("2025-01-01") + pd.to_timedelta(hours, unit="h")).strftime("%Y-%m-%dT%H:%M")
    effect = np.array([{"Basel": 0.0, "Bern": 3.0}.get(one, 1.5) for one in city])
    value = effect + tier + size * 0.8 + weight + member * 2 + (country == "CH") * 2 + random.normal(0, 0.5, ROWS)
    gaps = random.random(ROWS) < 0.1
    kinds = np.array(TARGETS["texts"])[np.digitize(-value, np.quantile(-value, [0.3, 0.7]))]
    return pd.DataFrame(
        {
            "city": city,
            "country": country,
            "tier": [f"{one:g}" for one in tier],
            "size": ["" if gap else f"{one}" for one, gap in zip(size, gaps, strict=True)],
            "weight": [f"{one:.6f}" for one in weight],
            "visits": visits.astype(str),
            "member": np.where(member, "true", "false"),
            "consent": consent,
            "day": day,
            "texts": kinds,
            "integers": np.where(value > np.median(value), "10", "-30"),
            "booleans": np.where(value > np.median(value), "true", "false"),
            "values": [f"{one:.4f}" for one in value],
        }
    )


def recipe_of(estimator: Any, target: str = "texts") -> Recipe:
    """Return a recipe with one candidate for a target of TARGETS."""
    classes = TARGETS[target]
    return Recipe(
        name="orders",
        title="Orders",
        task="classification" if classes else "regression",
        data_file="orders.csv",
        fetch=lambda folder: orders().to_csv(folder / "orders.csv", index=False),
        columns=COLUMNS,
        target=Column(name=target),
        classes=classes,
        ignored=tuple(name for name in TARGETS if name != target),
        candidates=(Candidate(name="tried", build=lambda _parameters, _seed: clone(estimator)),),
        metric="accuracy" if classes else "r2",
        floors={},
        split="stratified" if classes else "random",
        folds=2,
        min_skill=0,
    )


def trained_on_orders(recipe: Recipe, folder: Path) -> Trained:
    """Run the steps from the extraction to the evaluation."""
    return trained(recipe, extract(recipe, data=None, data_dir=folder, workdir=folder))

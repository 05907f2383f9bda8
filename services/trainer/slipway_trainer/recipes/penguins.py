"""Penguins: three species by the measurements of a bird, with text and missing values (K. B. Gorman and others, 2014).

The data is that of the package `palmerpenguins` (CC0).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway_trainer.recipes.base import Candidate, Recipe
from slipway_trainer.recipes.columns import Column

ISLANDS = ("Biscoe", "Dream", "Torgersen")
SEXES = ("female", "male")
UNKNOWN_SEX = "unknown"
MEASUREMENTS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")


def _write_csv(folder: Path) -> None:
    # Imported here because only the download needs it.
    from palmerpenguins import load_penguins  # noqa: PLC0415

    load_penguins().to_csv(folder / "penguins.csv", index=False, na_rep="NA", lineterminator="\n")


def _encoded() -> ColumnTransformer:
    """Return the preprocessing: text as indicators, measurements with gaps filled and scaled."""
    categories = [list(ISLANDS), [*SEXES, UNKNOWN_SEX]]
    return ColumnTransformer(
        [
            ("text", OneHotEncoder(categories=categories, sparse_output=False), ["island", "sex"]),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(MEASUREMENTS)),
        ]
    )


def _logistic_regression(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401  # scikit-learn has no types
    return Pipeline([("encode", _encoded()), ("model", LogisticRegression(**parameters, random_state=seed))])


def _random_forest(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401
    return Pipeline([("encode", _encoded()), ("model", RandomForestClassifier(**parameters, random_state=seed))])


def _measurement(name: str, unit: str, maximum: float) -> Column:
    return Column(name=name, nullable=True, unit=unit, minimum=0.0, maximum=maximum)


RECIPE = Recipe(
    name="penguins",
    title="Penguin species from measurements, island and sex",
    task="classification",
    data_file="penguins.csv",
    fetch=_write_csv,
    columns=(
        Column(name="island", dtype="string", categories=ISLANDS, description="Island of the nest."),
        _measurement("bill_length_mm", "mm", 100.0),
        _measurement("bill_depth_mm", "mm", 50.0),
        _measurement("flipper_length_mm", "mm", 400.0),
        _measurement("body_mass_g", "g", 20_000.0),
        Column(name="sex", dtype="string", nullable=True, missing=UNKNOWN_SEX, categories=SEXES),
    ),
    target=Column(name="species"),
    classes=("Adelie", "Chinstrap", "Gentoo"),
    # The year of the study, which says nothing about a new bird.
    ignored=("year",),
    candidates=(
        Candidate(name="logistic-regression", parameters={"C": 1.0, "max_iter": 1_000}, build=_logistic_regression),
        Candidate(
            name="random-forest",
            parameters={"n_estimators": 60, "max_depth": 6, "min_samples_leaf": 2},
            build=_random_forest,
        ),
    ),
    metric="balanced_accuracy",
    floors={"balanced_accuracy": 0.95},
    split="stratified",
)

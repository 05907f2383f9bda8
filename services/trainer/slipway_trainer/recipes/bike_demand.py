"""Bike demand: rentals per hour by calendar and weather in Washington, D.C. It drifts with season and growth.

The data is "Bike Sharing" of the UCI Machine Learning Repository (number 275): H. Fanaee-T and J. Gama, "Event labeling
combining ensemble detectors and background knowledge", Progress in Artificial Intelligence, 2013.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from pandera.pandas import Check
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

from slipway_trainer.errors import DataUnavailableError
from slipway_trainer.recipes.base import Candidate, Recipe
from slipway_trainer.recipes.columns import Column

SOURCE = "https://archive.ics.uci.edu/static/public/275/bike+sharing+dataset.zip"
FILE = "hour.csv"
TIMEOUT_SECONDS = 60.0
# The archive has 0.3 MB and the file 1.2 MB; anything much larger is not the data.
MAX_BYTES = 20 * 1024 * 1024


def fetch(folder: Path, client: httpx.Client | None = None) -> None:
    """Download the hourly file from the UCI repository.

    Raises:
        DataUnavailableError: the repository cannot be reached, or its response is not the archive.
    """
    try:
        with client or httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True) as http:
            answer = http.get(SOURCE).raise_for_status()
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            if archive.getinfo(FILE).file_size > MAX_BYTES:
                raise DataUnavailableError(f"the file at {SOURCE} is too large to be the data")
            content = archive.read(FILE)
    except (httpx.HTTPError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise DataUnavailableError(f"the data could not be downloaded from {SOURCE}") from error
    target = folder / RECIPE.data_file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _all_are_casual_or_registered(frame: pd.DataFrame) -> "pd.Series[bool]":
    if not {"casual", "registered", "cnt"} <= set(frame.columns):
        return pd.Series(data=True, index=frame.index)
    parts = frame[["casual", "registered"]].apply(pd.to_numeric, errors="coerce")
    return parts.sum(axis=1) == frame["cnt"]


def _linear_regression(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401  # scikit-learn has no types
    # A code is a name, not a quantity: each code has its own weight.
    codes = {"hr": 24, "mnth": 12, "weekday": 7, "weathersit": 4}
    names = RECIPE.feature_names
    one_hot = [
        (name, KBinsDiscretizer(n_bins=count, encode="onehot-dense", strategy="uniform"), [names.index(name)])
        for name, count in codes.items()
    ]
    others = [index for index, name in enumerate(names) if name not in codes]
    # The indicators of one column add up to one, so least squares has no unique solution; regularization selects one.
    model = Ridge(**parameters, random_state=seed)
    return make_pipeline(ColumnTransformer([*one_hot, ("amounts", StandardScaler(), others)]), model)


def _random_forest(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401
    return RandomForestRegressor(**parameters, random_state=seed)


def _hist_gradient_boosting(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401
    return HistGradientBoostingRegressor(**parameters, early_stopping=False, random_state=seed)


def _codes(name: str, first: int, last: int) -> Column:
    # Every candidate treats the codes as numbers, so the API can predict for other codes, with a warning.
    codes = tuple(float(code) for code in range(first, last + 1))
    return Column(name=name, categories=codes, on_unknown="warn")


RECIPE = Recipe(
    name="bike-demand",
    title="Bike rentals per hour by calendar and weather",
    task="regression",
    data_file=f"bike-sharing/{FILE}",
    fetch=fetch,
    columns=(
        _codes("season", 1, 4),
        # The data of the first year alone is valid, too.
        Column(name="yr", minimum=0, maximum=20, may_be_constant=True),
        _codes("mnth", 1, 12),
        _codes("hr", 0, 23),
        _codes("holiday", 0, 1),
        _codes("weekday", 0, 6),
        _codes("workingday", 0, 1),
        _codes("weathersit", 1, 4),
        Column(name="temp", unit="41 °C", minimum=-1, maximum=1.5),
        Column(name="atemp", unit="50 °C", minimum=-1, maximum=1.5),
        Column(name="hum", unit="100 %", minimum=0, maximum=1),
        Column(name="windspeed", unit="67 km/h", minimum=0, maximum=3),
    ),
    target=Column(name="cnt", unit="rentals per hour", minimum=0),
    ignored=("instant", "dteday", "casual", "registered"),
    time_columns=("dteday", "hr"),
    checks=(Check(_all_are_casual_or_registered, error="'cnt' is not the sum of 'casual' and 'registered'"),),
    candidates=(
        Candidate(name="linear-regression", parameters={"alpha": 1.0}, build=_linear_regression),
        Candidate(
            name="random-forest",
            parameters={"n_estimators": 60, "max_depth": 14, "min_samples_leaf": 3, "max_features": 0.6},
            build=_random_forest,
        ),
        Candidate(
            name="hist-gradient-boosting",
            parameters={"max_iter": 200, "learning_rate": 0.1, "max_leaf_nodes": 31},
            build=_hist_gradient_boosting,
            search={"max_leaf_nodes": (31, 63)},
        ),
    ),
    metric="r2",
    floors={"r2": 0.7},
    split="random",
    folds=3,
    min_rows=500,
    # Legitimate columns stay below this: the hour alone reaches 0.5, the number of registered users, a leak, 0.94.
    leakage_score=0.9,
)

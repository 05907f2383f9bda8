"""Iris: three species by four measurements of a flower (R. A. Fisher, 1936), from scikit-learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway_trainer.recipes.base import Candidate, Recipe
from slipway_trainer.recipes.columns import Column

TARGET = "species"


def _write_csv(folder: Path) -> None:
    data = load_iris(as_frame=True)
    frame = data.frame.drop(columns="target")
    frame[TARGET] = [str(data.target_names[code]) for code in data.target]
    frame.to_csv(folder / "iris.csv", index=False, lineterminator="\n")


def _logistic_regression(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401  # scikit-learn has no types
    return make_pipeline(StandardScaler(), LogisticRegression(**parameters, random_state=seed))


def _random_forest(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401
    return RandomForestClassifier(**parameters, random_state=seed)


def _gradient_boosting(parameters: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401
    return GradientBoostingClassifier(**parameters, random_state=seed)


RECIPE = Recipe(
    name="iris",
    title="Iris species from the measurements of a flower",
    task="classification",
    data_file="iris.csv",
    fetch=_write_csv,
    columns=(
        Column(name="sepal length (cm)", unit="cm", minimum=0.0, maximum=30.0),
        Column(name="sepal width (cm)", unit="cm", minimum=0.0, maximum=30.0),
        Column(name="petal length (cm)", unit="cm", minimum=0.0, maximum=30.0),
        Column(name="petal width (cm)", unit="cm", minimum=0.0, maximum=30.0),
    ),
    target=Column(name=TARGET),
    classes=("setosa", "versicolor", "virginica"),
    candidates=(
        Candidate(name="logistic-regression", parameters={"C": 1.0, "max_iter": 500}, build=_logistic_regression),
        Candidate(
            name="random-forest",
            parameters={"n_estimators": 60, "max_depth": 5, "min_samples_leaf": 2},
            build=_random_forest,
        ),
        Candidate(
            name="gradient-boosting",
            parameters={"n_estimators": 30, "learning_rate": 0.2, "max_depth": 2},
            build=_gradient_boosting,
        ),
    ),
    metric="accuracy",
    floors={"accuracy": 0.9},
    split="stratified",
)

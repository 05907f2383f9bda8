"""Bundles of several recipes in a real MLflow server, as the trainer registers them, with an API that serves them."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightgbm import LGBMClassifier
from mlflow.tracking import MlflowClient
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier

from slipway_core.manifest import Manifest
from slipway_core.registry import PRODUCTION
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_trainer.drawing import draw_features
from slipway_trainer.features import TableFeatures
from slipway_trainer.overrides import override
from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.fraud import RECIPE as FRAUD
from slipway_trainer.recipes.penguins import RECIPE as PENGUINS
from slipway_trainer.step_results import Dataset
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.register import register
from slipway_trainer.tracking import Tracker
from support.bike import QUICK_BIKE, bike_dataset
from support.combinations import recipe_of
from support.iris import IRIS
from support.preprocessing import LGBM, PASS, XGB, on, one_hot, ordinal
from support.trained import trained

RECIPES: Mapping[str, Recipe] = {
    "iris": override(IRIS, ("candidates=logistic-regression", "folds=2")),
    "bike-demand": override(QUICK_BIKE, ("candidates=hist-gradient-boosting",)),
    "penguins": override(PENGUINS, ("candidates=logistic-regression", "folds=2")),
    "fraud": override(FRAUD, ("candidates=logistic-regression", "folds=2", "threshold=0.9")),
    "orders-texts": recipe_of(on(XGBClassifier(**XGB), ordinal(), PASS), "texts"),
    "orders-integers": recipe_of(on(XGBClassifier(**XGB), one_hot(), PASS), "integers"),
    "orders-booleans": recipe_of(on(LGBMClassifier(**LGBM), one_hot(), PASS), "booleans"),
    "orders-values": recipe_of(on(HistGradientBoostingRegressor(max_iter=10), ordinal(), PASS), "values"),
}


@dataclass(frozen=True)
class Registered:
    """A model in the registry with the alias Production.

    Attributes:
        rows: its golden rows, and rows of the recipe's domain, as JSON has them.
    """

    name: str
    manifest: Manifest
    rows: list[list[Any]]

    @property
    def columns(self) -> list[str]:
        return [column.name for column in self.manifest.columns]

    @property
    def named(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def registered(key: str, mlflow_url: str, registry: MlflowRegistry) -> Registered:
    """Train a recipe of RECIPES under another name, register its bundle, and set the alias."""
    recipe = RECIPES[key].model_copy(update={"name": f"pyfunc-{key}"})
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        dataset: Dataset = (
            bike_dataset()
            if key == "bike-demand"
            else extract(recipe, data=None, data_dir=Path(folder), workdir=Path(folder))
        )
        results = trained(recipe, dataset)
    [best] = results.evaluations.values()
    version = register(
        recipe,
        dataset,
        results.table,
        results.split,
        [best],
        best,
        started_at=time.time(),
        tracker=Tracker(mlflow_url),
        registry=registry,
        by="ada",
        commit=None,
    ).version
    MlflowClient(mlflow_url, mlflow_url).set_registered_model_alias(recipe.name, PRODUCTION, version.version)
    bundle = fetch_bundle(registry, version, version.tags["slipway.manifest_sha256"])
    drawn = draw_features(recipe.model_copy(update={"seed": 2026}), results.split.train_features)
    values = drawn.cells if isinstance(drawn, TableFeatures) else drawn
    return Registered(recipe.name, bundle.manifest, [*map(list, bundle.golden.rows), *values[:300].tolist()])

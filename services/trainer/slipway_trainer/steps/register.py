"""Log the runs, register the chosen candidate's bundle, and read it back."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from slipway_core.registry import ModelVersion, Registry
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.promotion import DATA_VERSION_TAG
from slipway_core.registry.sign_existing import sign_bundle
from slipway_core.signing import Signer
from slipway_trainer.bundling import write_bundle
from slipway_trainer.lineage import UNKNOWN_COMMIT, library_versions
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Dataset, Evaluation, Split, Table
from slipway_trainer.tracked_data import TrackedData, TrackedRuns
from slipway_trainer.tracking import GIT_COMMIT_TAG, RECIPE_TAG, Tracker


@dataclass(frozen=True)
class Registered:
    """A registered model version that was read back.

    Attributes:
        runs: the runs of the training and of its candidates.
    """

    version: ModelVersion
    runs: TrackedRuns


def register(
    recipe: Recipe,
    dataset: Dataset,
    table: Table,
    split: Split,
    evaluations: Sequence[Evaluation],
    best: Evaluation,
    *,
    started_at: float,
    tracker: Tracker,
    registry: Registry,
    by: str,
    commit: str | None,
    signer: Signer | None = None,
) -> Registered:
    """Log a run for each candidate and register the best one's bundle as a new version.

    `started_at` is the start of the training, in seconds since the epoch. `by` is the user or service that trains, and
    `commit` the Git commit of the code. `signer` signs the version after it was read back.

    Raises:
        RegistryError: the server rejected a call or failed.
        BundleError: the bundle that was read back differs from the one that was written.
    """
    tags = _tags(recipe, table, by, commit)
    parameters = _parameters(recipe, dataset, table)
    with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as folder:
        bundle = write_bundle(
            Path(folder),
            recipe=recipe,
            table=table,
            split=split,
            evaluation=best,
            created_at=datetime.fromtimestamp(time.time(), UTC),
            git_commit=commit,
            libraries=library_versions(),
        )
        data = TrackedData(
            PurePosixPath(recipe.data_file).name, table.data_version, dataset.source, len(table.features)
        )
        runs = tracker.log_runs(
            recipe, evaluations, best, started_at=started_at, parameters=parameters, tags=tags, data=data
        )
        with tracker.finishing(runs):
            number = tracker.register(recipe, bundle, runs, best)
            version = registry.get_version(recipe.name, number)
            fetch_bundle(registry, version, bundle.manifest_sha256)  # as the API does
            if signer is not None:
                sign_bundle(registry, version, signer, bundle.manifest_sha256)
    return Registered(version, runs)


def _tags(recipe: Recipe, table: Table, by: str, commit: str | None) -> dict[str, str]:
    tags = {
        RECIPE_TAG: recipe.name,
        DATA_VERSION_TAG: table.data_version,
        # MLflow's own tag names, for the columns of its pages.
        "mlflow.source.name": f"slipway train {recipe.name}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": by,
    }
    if commit:
        tags[GIT_COMMIT_TAG] = commit
    if commit and commit != UNKNOWN_COMMIT:
        tags["mlflow.source.git.commit"] = commit
    return tags


def _parameters(recipe: Recipe, dataset: Dataset, table: Table) -> dict[str, str | int | float]:
    optional = {name: getattr(recipe, name) for name in ("positive_class", "threshold", "quantile")}
    return {
        "recipe": recipe.name,
        "data": dataset.source,
        "data_version": table.data_version,
        "rows": len(table.features),
        "split": recipe.split,
        **({} if recipe.split_key is None else {"split_key": recipe.split_key}),
        "test_fraction": recipe.test_fraction,
        "folds": recipe.folds,
        "seed": recipe.seed,
        "metric": recipe.metric,
        **{name: value for name, value in optional.items() if value is not None},
    }

"""Log the runs, register the bundle of the chosen candidate or of all, and read it back."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from slipway_core.registry import ModelVersion, Registry
from slipway_core.registry.base import candidate_alias
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.promotion import DATA_VERSION_TAG
from slipway_core.registry.sign_existing import sign_bundle
from slipway_core.signing import Signer
from slipway_trainer.bundling import WrittenBundle, write_bundle
from slipway_trainer.gate import failed_limits
from slipway_trainer.lineage import UNKNOWN_COMMIT, library_versions
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Dataset, Evaluation, Split, Table
from slipway_trainer.tracked_data import TrackedData, TrackedRuns
from slipway_trainer.tracking import GIT_COMMIT_TAG, RECIPE_TAG, Tracker


@dataclass(frozen=True)
class Registered:
    """A registered model version that was read back.

    Attributes:
        version: the version of the best candidate.
        runs: the runs of the training and of its candidates.
        candidates: the version of each candidate with an alias of its own, by name.
        failed: the reasons why the others have none, by name.
    """

    version: ModelVersion
    runs: TrackedRuns
    candidates: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


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

    With `register_all`, register each candidate that meets the floors and ceilings, the best one last. Then point the
    alias `candidate-<name>` at each. An alias of an earlier training stays if its candidate fails now.

    `started_at` is the start of the training, in seconds since the epoch. `by` is the user or service that trains, and
    `commit` the Git commit of the code. `signer` signs the version after it was read back.

    Raises:
        RegistryError: the server rejected a call or failed.
        BundleError: the bundle that was read back differs from the one that was written.
    """
    tags = _tags(recipe, table, by, commit)
    parameters = _parameters(recipe, dataset, table)
    failed = _failed(recipe, evaluations)
    others = [item for item in evaluations if recipe.register_all and item is not best and _name(item) not in failed]
    with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as folder:
        bundles = [
            (item, _write(Path(folder, str(number)), recipe, table, split, item, commit))
            for number, item in enumerate([*others, best])
        ]
        data = TrackedData(
            PurePosixPath(recipe.data_file).name, table.data_version, dataset.source, len(table.features)
        )
        runs = tracker.log_runs(
            recipe, evaluations, best, started_at=started_at, parameters=parameters, tags=tags, data=data
        )
        with tracker.finishing(runs):
            versions = {}
            for item, bundle in bundles:
                number = tracker.register(recipe, bundle, runs, item, chosen=item is best)
                versions[_name(item)] = version = registry.get_version(recipe.name, number)
                fetch_bundle(registry, version, bundle.manifest_sha256)  # as the API does
                if signer is not None:
                    sign_bundle(registry, version, signer, bundle.manifest_sha256)
            if not recipe.register_all:
                return Registered(version, runs)
            candidates = {name: one.version for name, one in versions.items() if name not in failed}
            for name, number in candidates.items():
                registry.set_alias(recipe.name, candidate_alias(name), number)
    return Registered(version, runs, candidates, failed)


def _write(
    folder: Path, recipe: Recipe, table: Table, split: Split, evaluation: Evaluation, commit: str | None
) -> WrittenBundle:
    folder.mkdir()
    return write_bundle(
        folder,
        recipe=recipe,
        table=table,
        split=split,
        evaluation=evaluation,
        created_at=datetime.fromtimestamp(time.time(), UTC),
        git_commit=commit,
        libraries=library_versions(),
    )


def _failed(recipe: Recipe, evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """Return why candidates do not meet the floors and ceilings, by name."""
    checks = {_name(item): failed_limits(item.metrics, recipe.floors, recipe.ceilings) for item in evaluations}
    return {name: "; ".join(check.reason for check in found) for name, found in checks.items() if found}


def _name(evaluation: Evaluation) -> str:
    return evaluation.fitted.candidate.name


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

"""A training run from end to end: the steps in their order, telling each as it ends."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from slipway_core.registry import ModelVersion, Registry
from slipway_trainer.gate import Decision
from slipway_trainer.recipes import Recipe
from slipway_trainer.steps.evaluate import Evaluation, best_of, evaluate
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.promote import promote
from slipway_trainer.steps.register import register
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate
from slipway_trainer.tracking import Tracker


@dataclass(frozen=True)
class Outcome:
    """What a training run came to."""

    recipe: Recipe
    evaluations: tuple[Evaluation, ...]
    best: Evaluation
    version: ModelVersion
    parent_run_id: str
    decision: Decision


def run_pipeline(
    recipe: Recipe,
    *,
    data: Path | None,
    data_dir: Path,
    open_registry: Callable[[], tuple[Tracker, Registry]],
    by: str,
    tell: Callable[[str], None],
) -> Outcome:
    """Run extract → validate → train → evaluate → register → promote.

    Args:
        recipe: what to train.
        data: the data's file, where it was given by hand.
        data_dir: where the recipe's data is looked for next.
        open_registry: called once everything is evaluated, so that training need not wait for a server that is
            still starting.
        by: who trains, for the runs and the promotion's history.
        tell: is told a sentence as each step ends.

    Raises:
        SlipwayError: a step refused; what was served before is still served.
    """
    started_at = time.time()
    with TemporaryDirectory(prefix="slipway-data-") as folder:
        dataset = extract(recipe, data=data, data_dir=data_dir, workdir=Path(folder))
    tell(f"extract: {len(dataset.frame)} rows from {dataset.source}, version {dataset.version[:19]}…")
    table = validate(recipe, dataset)
    tell(f"validate: {len(recipe.columns)} features and the target {recipe.target!r} fit the schema")
    split = split_rows(recipe, table)
    evaluations = []
    for candidate in recipe.candidates:
        fitted = train(recipe, candidate, split)
        tell(f"train: {candidate.name}, {recipe.metric} {fitted.cv_mean:.4f} over {recipe.folds} folds")
        evaluations.append(evaluate(recipe, fitted, split))
    best = best_of(evaluations)
    tell(f"evaluate: {best.fitted.candidate.name} is the best of {len(evaluations)}, its graph equals its estimator")
    tracker, registry = open_registry()
    registered = register(
        recipe,
        dataset,
        table,
        split,
        evaluations,
        best,
        started_at=started_at,
        tracker=tracker,
        registry=registry,
        by=by,
    )
    version = registered.version
    tell(f"register: version {version.version} of {recipe.name}")
    decision = promote(recipe, version, best, split, registry=registry, by=by)
    tell(f"promote: {'Production is' if decision.promote else 'refused'} version {version.version}: {decision.summary}")
    return Outcome(recipe, tuple(evaluations), best, version, registered.parent_run_id, decision)

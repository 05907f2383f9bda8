"""Run a training from beginning to end, and report each step."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from threadpoolctl import threadpool_limits

from slipway_core.plurals import count_of
from slipway_core.registry import ModelVersion, Registry
from slipway_core.registry.gate_result import GateResult, PromoteMode
from slipway_core.signing import Signer, TrustedKeys
from slipway_trainer.metrics import METRICS
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Dataset, Evaluation, Split, Table
from slipway_trainer.steps.evaluate import best_of, evaluate
from slipway_trainer.steps.extract import extract
from slipway_trainer.steps.promote import promote
from slipway_trainer.steps.register import Registered, register
from slipway_trainer.steps.report import report
from slipway_trainer.steps.train import split_rows, train
from slipway_trainer.steps.validate import validate
from slipway_trainer.tracked_data import TrackedRuns
from slipway_trainer.tracking import Tracker


class Reporter(Protocol):
    """Receives the progress of a training."""

    def step_finished(self, step: str, sentence: str) -> None:
        """Report that a step has finished, with its result: one or more lines."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Report the progress of a long step."""
        ...

    def gate_result(
        self, recipe: Recipe, evaluations: tuple[Evaluation, ...], best: Evaluation, gate_result: GateResult
    ) -> None:
        """Show the candidates' scores and the gate's result."""
        ...


@dataclass(frozen=True)
class Outcome:
    """The result of a training run."""

    recipe: Recipe
    evaluations: tuple[Evaluation, ...]
    best: Evaluation
    version: ModelVersion
    parent_run_id: str
    gate_result: GateResult


@dataclass
class Stopwatch:
    """The duration of each step.

    Attributes:
        started_at: the start of the training, in seconds since the epoch.
        seconds: the duration of each step, by name.
    """

    started_at: float = field(default_factory=time.time)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the duration of a block."""
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


def run_pipeline(
    recipe: Recipe,
    *,
    data: str | Path | None,
    data_dir: str | Path,
    mode: PromoteMode,
    open_registry: Callable[[], tuple[Tracker, Registry]],
    by: str,
    commit: str | None,
    reporter: Reporter,
    signer: Signer | None = None,
    trusted: TrustedKeys | None = None,
) -> Outcome:
    """Run extract → validate → train → evaluate → register → promote, then draw the plots.

    Args:
        recipe: the recipe to train.
        data: the file or folder of the data, or `s3://bucket/…`; takes precedence over `data_dir`.
        data_dir: where to search for the recipe's data file otherwise.
        mode: `auto` promotes if the gate passes, `never` only registers, `force` promotes regardless of the gate.
        open_registry: called after the evaluation, so that training does not wait for a server that is still starting.
        by: the user or service that trains, for the runs and the promotion history.
        commit: the Git commit of the code, for the lineage; None if unknown.
        reporter: receives the result of each step.
        signer: signs the version and its promotion.
        trusted: the keys whose signatures a version must have to be compared with.

    Raises:
        SlipwayError: a step failed. The served version does not change.
    """
    watch = Stopwatch()
    dataset, table, split = _load_data(recipe, data, data_dir, watch, reporter)
    evaluations = _evaluate_candidates(recipe, split, watch, reporter)
    best = best_of(recipe, evaluations)
    reporter.step_finished("evaluate", _chosen(recipe, evaluations, best))
    tracker, registry = open_registry()
    with watch.step("register"):
        registered = register(
            recipe,
            dataset,
            table,
            split,
            evaluations,
            best,
            started_at=watch.started_at,
            tracker=tracker,
            registry=registry,
            by=by,
            commit=commit,
            signer=signer,
        )
    reporter.step_finished("register", _registered(recipe, registered))
    with watch.step("promote"):
        gate_result = promote(
            recipe, registered.version, best, split, mode=mode, registry=registry, by=by, signer=signer, trusted=trusted
        )
    reporter.gate_result(recipe, evaluations, best, gate_result)
    reporter.step_finished("promote", promotion_sentence(recipe, registered.version, gate_result))
    _report_plots(recipe, evaluations, best, split, tracker, registered.runs, watch, reporter)
    return Outcome(recipe, evaluations, best, registered.version, registered.runs.parent, gate_result)


def _load_data(
    recipe: Recipe, data: str | Path | None, data_dir: str | Path, watch: Stopwatch, reporter: Reporter
) -> tuple[Dataset, Table, Split]:
    """Extract and validate the data, and split it into training and test rows."""
    with watch.step("extract"), TemporaryDirectory(prefix="slipway-data-") as folder:
        dataset = extract(recipe, data=data, data_dir=data_dir, workdir=Path(folder))
    reporter.step_finished(
        "extract", f"{count_of(len(dataset.frame), 'row')} from {dataset.source}, version {dataset.version[:19]}…"
    )
    with watch.step("validate"):
        table = validate(recipe, dataset)
        split = split_rows(recipe, table)
    reporter.step_finished(
        "validate",
        f"{count_of(len(recipe.columns), 'feature')} and the target {recipe.target.name!r} match the schema; "
        f"{count_of(len(split.train_target), 'training row')}, {count_of(len(split.test_target), 'test row')} "
        f"(split: {recipe.split_summary})",
    )
    return dataset, table, split


def _evaluate_candidates(recipe: Recipe, split: Split, watch: Stopwatch, reporter: Reporter) -> tuple[Evaluation, ...]:
    """Train and evaluate each candidate of the recipe, in its order."""
    evaluated = []
    for candidate in recipe.candidates:
        name = candidate.name
        # One thread: if another process uses a core, busy-waiting threads slow each other down several times.
        with watch.step(f"train_{name}"), threadpool_limits(1):
            fitted = train(recipe, candidate, split, partial(reporter.progress, name))
        with watch.step(f"evaluate_{name}"):
            evaluated.append(evaluate(recipe, fitted, split))
        chosen = ", ".join(f"{key}={fitted.parameters[key]}" for key in candidate.search)
        spread = evaluated[-1].metrics["cv_std"]
        reporter.step_finished(
            "train",
            f"{name}{f' with {chosen}' if chosen else ''}: {recipe.metric} {fitted.cv_mean:.4f} ± {spread:.4f} "
            f"over {recipe.folds} folds, in {fitted.cv_seconds + fitted.fit_seconds:.1f} s",
        )
    return tuple(evaluated)


def _report_plots(
    recipe: Recipe,
    evaluations: tuple[Evaluation, ...],
    best: Evaluation,
    split: Split,
    tracker: Tracker,
    runs: TrackedRuns,
    watch: Stopwatch,
    reporter: Reporter,
) -> None:
    """Draw the plots and log the timings; a failure is reported and does not undo the promotion."""
    # After the promotion, so that it does not wait for the plots.
    try:
        with watch.step("report"):
            report(recipe, evaluations, best, split, tracker=tracker, runs=runs)
        tracker.log_timings(runs, watch.seconds)
        reporter.step_finished("report", f"the plots are at {tracker.run_url(runs)}")
    except Exception as error:  # noqa: BLE001  # whatever it is, what was promoted is promoted
        reporter.step_finished("report", f"the version is not affected, but its plots could not be stored: {error}")


def _chosen(recipe: Recipe, evaluations: tuple[Evaluation, ...], best: Evaluation) -> str:
    chosen = "is the only candidate"
    if len(evaluations) > 1:
        metric = METRICS[recipe.metric].described
        chosen = f"is the best of {len(evaluations)} candidates by {metric} in cross-validation"
    return f"{best.fitted.candidate.name} {chosen}; its exported graph returns the same predictions"


def _registered(recipe: Recipe, registered: Registered) -> str:
    lines = [f"version {registered.version.version} of {recipe.name}"]
    lines += [f"candidate {name}: version {number}" for name, number in registered.candidates.items()]
    lines += [f"candidate {name} gets no alias: {why}" for name, why in registered.failed.items()]
    return "\n".join(lines)


def promotion_sentence(recipe: Recipe, version: ModelVersion, gate_result: GateResult) -> str:
    """Return whether a version was promoted, with the reasons and what to do if it was not."""
    if gate_result.promote:
        return f"Production of {recipe.name} is now version {version.version}"
    kept = f"version {version.version} is registered, and Production of {recipe.name} is unchanged"
    reasons = [f"- {reason}" for reason in gate_result.reasons]
    command = f"slipway models promote {recipe.name} {version.version}"
    # The reason of a withdrawn graph ends with the command.
    is_named = any(reason.endswith(command) for reason in reasons)
    if gate_result.mode == "never":
        gate = ["the gate would pass"] if gate_result.passed else ["the gate would fail:", *reasons]
        return "\n".join([f"{kept}, as requested", *gate, *([] if is_named else [f"to promote it: {command}"])])
    anyway = [] if is_named else [f"to promote it anyway: {command}"]
    return "\n".join([f"the gate failed; {kept}:", *reasons, *anyway])

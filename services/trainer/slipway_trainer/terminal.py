"""Show a training on a terminal: a progress bar, a line for each finished step, and two tables."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from slipway_core.registry.gate_result import GateCheck, GateResult
from slipway_trainer.gate import format_distinct
from slipway_trainer.metrics import METRICS
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Evaluation

UNCUT_WIDTH = 1_000
# The longest name of a step has 8 letters.
STEP_WIDTH = 9


class Terminal:
    """Reports the progress of a training on a console; the progress bar is shown on a terminal only."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._what: str | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._bar.stop()

    def step_finished(self, step: str, sentence: str) -> None:
        """Print a finished step; further lines of its result are aligned with the first."""
        self._end_bar()
        result = sentence.replace("\n", f"\n{' ' * (STEP_WIDTH + 1)}")
        self._console.print(f"{step:<{STEP_WIDTH}} {result}", markup=False, soft_wrap=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show the number of finished fits of a candidate."""
        if what != self._what or self._task is None:
            self._end_bar()
            self._what, self._task = what, self._bar.add_task(f"fitting {what}", total=total)
        self._bar.update(self._task, completed=done)

    def gate_result(
        self, recipe: Recipe, evaluations: tuple[Evaluation, ...], best: Evaluation, gate_result: GateResult
    ) -> None:
        """Print the candidates' scores on the test rows, and the gate's checks."""
        candidates = [item.fitted.candidate.name + (" ✓" if item is best else "") for item in evaluations]
        scores = Table("", *candidates, title=recipe.title)
        if all(item.fitted.cv_scores for item in evaluations):
            scores.add_row(f"{recipe.metric} of folds", *(f"{item.fitted.cv_mean:.4f}" for item in evaluations))
        for name in (name for name in best.metrics if not name.startswith("cv_")):
            scores.add_row(
                name, *(f"{item.metrics[name]:.4f}" if name in item.metrics else "–" for item in evaluations)
            )
        self._print(scores)
        title = f"Promotion gate (--promote {gate_result.mode})"
        checks = Table("check", "value", "required", "result", title=title)
        for check in gate_result.checks:
            checks.add_row(check.name, *_numbers(check), "passed" if check.passed else "failed")
        self._print(checks)

    def _print(self, table: Table) -> None:
        """Print a table with complete names: wrapped on a terminal, as wide as necessary elsewhere."""
        for column in table.columns:
            column.overflow = "fold"
        if not self._console.is_terminal:
            self._console.width = max(self._console.width, UNCUT_WIDTH)
        self._console.print(table)

    def _end_bar(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


def _numbers(check: GateCheck) -> tuple[str, str]:
    if check.value is None or check.required is None:
        return "–" if check.value is None else f"{check.value:.4f}", check.reason
    value, required = format_distinct(check.value, check.required, are_counts=check.metric is None)
    at_most = check.metric is not None and METRICS[check.metric].lower_is_better
    return value, f"≤ {required}" if at_most else required

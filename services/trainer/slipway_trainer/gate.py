"""The promotion gate: decide whether a version may become Production. Without I/O, so that it is easy to test."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slipway_core.plurals import count_of
from slipway_core.registry.gate_result import FLOOR_PREFIX, GateCheck, GateResult, PromoteMode

MIN_DIGITS = 4
MAX_DIGITS = 17
# The rounding error of a sum of decimal fractions: 0.8 - 0.1 is slightly more than 0.7.
ROUNDING = 1e-15


@dataclass(frozen=True)
class Champion:
    """The Production version, as the gate compares it.

    Attributes:
        score: the score of its graph on the challenger's test rows; None if it cannot be scored.
        why_not: why it cannot be scored, as the end of a sentence.
        caveat: a limitation of the comparison, as the end of a sentence.
        rows: the number of rows of its data; None if unknown.
    """

    version: str
    score: float | None
    why_not: str = ""
    caveat: str = ""
    rows: int | None = None


@dataclass(frozen=True)
class Challenger:
    """A new version that may become Production.

    Attributes:
        metrics: the metrics of its graph on the test rows; higher is better.
        rows: the number of rows of its data.
        withdrawn_duplicate: a version with the same graph that a rollback withdrew; None if it does not exist.
        promote_command: the command that lifts such a withdrawal.
    """

    metrics: Mapping[str, float]
    rows: int
    withdrawn_duplicate: str | None = None
    promote_command: str = "slipway models promote NAME VERSION"


def decide(
    challenger: Challenger,
    champion: Champion | None,
    *,
    metric: str,
    floors: Mapping[str, float],
    max_regression: float = 0.0,
    min_rows_share: float = 0.8,
    mode: PromoteMode = "auto",
) -> GateResult:
    """Compare a challenger with the recipe's floors, and with the champion on the same rows.

    Args:
        challenger: the new version.
        champion: the Production version, or None if it is not set.
        metric: the metric of the comparison.
        floors: the minimum of each metric.
        max_regression: how much worse than the champion the challenger may be. An equal score passes.
        min_rows_share: the minimum share of the champion's rows; a smaller share suggests incomplete data.
        mode: the value of `--promote`; the checks do not depend on it.
    """
    checks = [*_floors(challenger, floors), _against(challenger, champion, metric, max_regression)]
    if champion is not None and champion.rows is not None:
        checks.append(_rows(challenger, champion.version, champion.rows, min_rows_share))
    if challenger.withdrawn_duplicate is not None:
        reason = (
            f"its graph is the same as that of version {challenger.withdrawn_duplicate}, which a rollback withdrew; "
            f"to lift the withdrawal: {challenger.promote_command}"
        )
        checks.append(GateCheck(name="not withdrawn", passed=False, reason=reason))
    return GateResult(checks=tuple(checks), mode=mode)


def _floors(challenger: Challenger, floors: Mapping[str, float]) -> Iterator[GateCheck]:
    for name, floor in sorted(floors.items()):
        value = challenger.metrics[name]
        passed = value >= floor  # False for NaN
        shown, least = format_distinct(value, floor)
        reason = f"{name} {shown} {'meets' if passed else 'is below'} the floor {least}"
        if not passed:
            reason += f"; --set floors.{name}=VALUE changes the floor"
        yield GateCheck(
            name=f"{FLOOR_PREFIX}{name}", metric=name, value=value, required=floor, passed=passed, reason=reason
        )


def _against(challenger: Challenger, champion: Champion | None, metric: str, max_regression: float) -> GateCheck:
    name = f"{metric} against Production"
    value = challenger.metrics[metric]
    if champion is None:
        return GateCheck(
            name=name, metric=metric, value=value, passed=True, reason="no Production version to compare with"
        )
    if champion.score is None:
        reason = f"Production (version {champion.version}) cannot be compared: {champion.why_not}"
        return GateCheck(name=name, metric=metric, value=value, passed=True, reason=reason)
    required = champion.score - max_regression - (ROUNDING if max_regression else 0)
    passed = value >= required
    shown, best = format_distinct(value, champion.score)
    if value == champion.score:
        comparison = "equals"
    elif value > champion.score:
        comparison = "is better than"
    else:
        comparison = "is within the allowed regression of" if passed else "is worse than"
    allowed = f"; allowed regression: {max_regression:g}" if max_regression else ""
    caveat = f"; {champion.caveat}" if champion.caveat else ""
    reason = (
        f"{metric} {shown} {comparison} Production's {best} (version {champion.version}) on the same rows"
        f"{allowed}{caveat}"
    )
    if not passed:
        reason += "; --set max_regression=VALUE changes the allowed regression"
    return GateCheck(name=name, metric=metric, value=value, required=required, passed=passed, reason=reason)


def _rows(challenger: Challenger, version: str, rows: int, share: float) -> GateCheck:
    required = math.ceil(share * rows)
    passed = challenger.rows >= required
    reason = f"{count_of(challenger.rows, 'row')} of data, and version {version} had {rows}"
    if not passed:
        reason += f": {challenger.rows / rows:.1%}, less than min_rows_share {share:g}; "
        reason += "check that the data is complete, or lower the limit with --set min_rows_share=VALUE"
    return GateCheck(name="rows of data", value=challenger.rows, required=required, passed=passed, reason=reason)


def format_distinct(value: float, other: float, *, are_counts: bool = False) -> tuple[str, str]:
    """Format two numbers with four decimal places, or with as many as are needed to show that they differ.

    Counts have no decimal places.
    """
    digits = 0 if are_counts else MIN_DIGITS
    while f"{value:.{digits}f}" == f"{other:.{digits}f}" and value != other and digits < MAX_DIGITS:
        digits += 1
    return f"{value:.{digits}f}", f"{other:.{digits}f}"

"""The promotion gate: decide whether a version may become Production. Without I/O, so that it is easy to test."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from slipway_core.plurals import count_of
from slipway_core.registry.gate_result import FLOOR_PREFIX, GateCheck, GateResult, PromoteMode
from slipway_trainer.metrics import METRICS

CEILING_PREFIX = "ceiling of "
MIN_DIGITS = 4
MAX_DIGITS = 17
# The relative rounding error of a sum of decimal fractions: 0.8 - 0.1 is slightly more than 0.7.
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
        metrics: the metrics of its graph on the test rows.
        rows: the number of rows of its data.
        withdrawn_duplicate: a version with the same graph that a rollback withdrew; None if it does not exist.
        promote_command: the command that lifts such a withdrawal.
        is_registered: whether the version comes from `slipway register`, which has other options than a training.
    """

    metrics: Mapping[str, float]
    rows: int
    withdrawn_duplicate: str | None = None
    promote_command: str = "slipway models promote NAME VERSION"
    is_registered: bool = False


def decide(
    challenger: Challenger,
    champion: Champion | None,
    *,
    metric: str,
    floors: Mapping[str, float],
    ceilings: Mapping[str, float] = MappingProxyType({}),
    max_regression: float = 0.0,
    min_rows_share: float = 0.8,
    mode: PromoteMode = "auto",
) -> GateResult:
    """Compare a challenger with the recipe's floors and ceilings, and with the champion on the same rows.

    Args:
        challenger: the new version.
        champion: the Production version, or None if it is not set.
        metric: the metric of the comparison, whose direction decides which score is better.
        floors: the minimum of each metric.
        ceilings: the maximum of each metric.
        max_regression: how much worse than the champion the challenger may be. An equal score passes.
        min_rows_share: the minimum share of the champion's rows; a smaller share suggests incomplete data.
        mode: the value of `--promote`; the checks do not depend on it.
    """
    checks = [
        *_limits(challenger.metrics, floors, is_floor=True, is_registered=challenger.is_registered),
        _against(challenger, champion, metric, max_regression, has_limits=bool(floors or ceilings)),
        *_limits(challenger.metrics, ceilings, is_floor=False, is_registered=challenger.is_registered),
    ]
    if champion is not None and champion.rows is not None:
        checks.append(_rows(challenger, champion.version, champion.rows, min_rows_share))
    if challenger.withdrawn_duplicate is not None:
        reason = (
            f"its graph is the same as that of version {challenger.withdrawn_duplicate}, which a rollback withdrew; "
            f"to lift the withdrawal and promote it: {challenger.promote_command}"
        )
        checks.append(GateCheck(name="not withdrawn", passed=False, reason=reason))
    return GateResult(checks=tuple(checks), mode=mode)


def failed_limits(
    metrics: Mapping[str, float], floors: Mapping[str, float], ceilings: Mapping[str, float]
) -> list[GateCheck]:
    """Return the checks of floors and ceilings that metrics fail."""
    checks = [*_limits(metrics, floors, is_floor=True), *_limits(metrics, ceilings, is_floor=False)]
    return [check for check in checks if not check.passed]


def _limits(
    metrics: Mapping[str, float], limits: Mapping[str, float], *, is_floor: bool, is_registered: bool = False
) -> Iterator[GateCheck]:
    kind, prefix, beyond = ("floor", FLOOR_PREFIX, "below") if is_floor else ("ceiling", CEILING_PREFIX, "above")
    for name, limit in sorted(limits.items()):
        value = metrics[name]
        passed = value >= limit if is_floor else value <= limit  # False for NaN
        shown, required = format_distinct(value, limit)
        reason = f"{name} {shown} {'meets' if passed else f'is {beyond}'} the {kind} {required}"
        if not passed:
            option = f"--floor {name}" if is_registered else f"--set {kind}s.{name}"
            reason += f"; {option}=VALUE changes the {kind}"
        yield GateCheck(name=f"{prefix}{name}", metric=name, value=value, required=limit, passed=passed, reason=reason)


def _against(
    challenger: Challenger, champion: Champion | None, metric: str, max_regression: float, *, has_limits: bool
) -> GateCheck:
    name = f"{metric} against Production"
    value = challenger.metrics[metric]
    if champion is None:
        return GateCheck(
            name=name, metric=metric, value=value, passed=True, reason="no Production version to compare with"
        )
    if champion.score is None:
        reason = f"Production (version {champion.version}) cannot be compared: {champion.why_not}"
        # A recipe has limits. A registered model may have none, and then nothing else would stop a useless one.
        # Without rows, Production is damaged or not a bundle, so it does not count.
        passed = has_limits or not challenger.is_registered or champion.rows is None
        if not passed:
            reason += "; state the least score with --floor METRIC=VALUE, or promote it with --promote force"
        return GateCheck(name=name, metric=metric, value=value, passed=passed, reason=reason)
    signed = METRICS[metric].signed
    rounding = ROUNDING * max(1.0, abs(champion.score)) if max_regression else 0
    least = signed(champion.score) - max_regression - rounding
    passed = signed(value) >= least  # False for NaN
    shown, best = format_distinct(value, champion.score)
    if value == champion.score:
        comparison = "equals"
    elif signed(value) > signed(champion.score):
        comparison = "is better than"
    else:
        comparison = "is within the allowed regression of" if passed else "is worse than"
    allowed = f"; allowed regression: {max_regression:g}" if max_regression else ""
    caveat = f"; {champion.caveat}" if champion.caveat else ""
    reason = (
        f"{METRICS[metric].described} {shown} {comparison} Production's {best} (version {champion.version}) on the "
        f"same rows{allowed}{caveat}"
    )
    if not passed and not challenger.is_registered:
        reason += "; --set max_regression=VALUE changes the allowed regression"
    return GateCheck(name=name, metric=metric, value=value, required=signed(least), passed=passed, reason=reason)


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

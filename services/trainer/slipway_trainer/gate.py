"""The gate: may this version be promoted? Pure, so that every decision can be explained and tested."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slipway_core.registry.gate_result import FLOOR_PREFIX, GateCheck, GateResult, PromoteMode

MIN_DIGITS = 4
MAX_DIGITS = 17
# What the sum of decimal fractions may be off by: 0.8 - 0.1 is a little more than 0.7.
ROUNDING = 1e-15


@dataclass(frozen=True)
class Champion:
    """Production's version, as the challenger meets it.

    Attributes:
        score: what its graph scored on the challenger's test rows; None if it could not be scored.
        why_not: why it could not, as the end of a sentence.
        caveat: what makes its score less than fair, as the end of a sentence.
        rows: how many rows of data it was trained on, where that is known.
    """

    version: str
    score: float | None
    why_not: str = ""
    caveat: str = ""
    rows: int | None = None


@dataclass(frozen=True)
class Challenger:
    """A new version that asks to be promoted.

    Attributes:
        metrics: of its graph on the test rows; greater is better.
        rows: how many rows of data it was trained on.
        withdrawn_duplicate: the version with the very same graph that a rollback withdrew, if there is one.
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
    """Compare a challenger with the recipe's floors and with the champion on the same rows.

    Args:
        challenger: what asks to be promoted.
        champion: what Production points to, or None if it is not set.
        metric: the metric that the two are compared by.
        floors: the least value of each metric.
        max_regression: by how much the challenger may be worse than the champion; a tie promotes.
        min_rows_share: data of a smaller share of the champion's rows is more likely cut short than chosen.
        mode: what `--promote` asked for; the checks are the same in each.
    """
    checks = [*_floors(challenger, floors), _against(challenger, champion, metric, max_regression)]
    if champion is not None and champion.rows is not None:
        checks.append(_rows(challenger, champion.version, champion.rows, min_rows_share))
    if challenger.withdrawn_duplicate is not None:
        reason = (
            f"its graph is the same as that of version {challenger.withdrawn_duplicate}, which was rolled back from; "
            f"to lift the withdrawal: {challenger.promote_command}"
        )
        checks.append(GateCheck(name="not withdrawn", passed=False, reason=reason))
    return GateResult(checks=tuple(checks), mode=mode)


def _floors(challenger: Challenger, floors: Mapping[str, float]) -> Iterator[GateCheck]:
    for name, floor in sorted(floors.items()):
        value = challenger.metrics[name]
        passed = value >= floor  # NaN passes no floor
        shown, least = format_distinct(value, floor)
        reason = f"{name} {shown} {'meets' if passed else 'is below'} the floor {least}"
        if not passed:
            reason += f"; --set floors.{name}=VALUE changes the floor"
        yield GateCheck(
            name=f"{FLOOR_PREFIX}{name}", metric=name, value=value, required=floor, passed=passed, reason=reason
        )


def _against(challenger: Challenger, champion: Champion | None, metric: str, max_regression: float) -> GateCheck:
    name = f"{metric} against the champion"
    value = challenger.metrics[metric]
    if champion is None:
        return GateCheck(
            name=name, metric=metric, value=value, passed=True, reason="no champion exists to compare with"
        )
    if champion.score is None:
        reason = f"the champion, version {champion.version}, cannot be compared with: {champion.why_not}"
        return GateCheck(name=name, metric=metric, value=value, passed=True, reason=reason)
    required = champion.score - max_regression - (ROUNDING if max_regression else 0)
    passed = value >= required
    shown, best = format_distinct(value, champion.score)
    if value == champion.score:
        comparison = "equals"
    elif value > champion.score:
        comparison = "is better than"
    else:
        comparison = "is hardly worse than" if passed else "is worse than"
    allowed = f", and {max_regression:g} less is allowed" if max_regression else ""
    caveat = f"; {champion.caveat}" if champion.caveat else ""
    reason = (
        f"{metric} {shown} {comparison} the champion's {best} (version {champion.version}) on the same rows"
        f"{allowed}{caveat}"
    )
    if not passed:
        reason += "; --set max_regression=VALUE allows more"
    return GateCheck(name=name, metric=metric, value=value, required=required, passed=passed, reason=reason)


def _rows(challenger: Challenger, version: str, rows: int, share: float) -> GateCheck:
    required = math.ceil(share * rows)
    passed = challenger.rows >= required
    reason = f"{challenger.rows} rows of data, and version {version} had {rows}"
    if not passed:
        reason += f", so it has {challenger.rows / rows:.1%} of them, less than min_rows_share {share:g} asks for; "
        reason += "check that the data is complete, or lower the limit with --set min_rows_share=VALUE"
    return GateCheck(name="rows of data", value=challenger.rows, required=required, passed=passed, reason=reason)


def format_distinct(value: float, other: float, *, are_counts: bool = False) -> tuple[str, str]:
    """Return two numbers with four decimal places, or with as many as they need to differ.

    Counts have no decimal places.
    """
    digits = 0 if are_counts else MIN_DIGITS
    while f"{value:.{digits}f}" == f"{other:.{digits}f}" and value != other and digits < MAX_DIGITS:
        digits += 1
    return f"{value:.{digits}f}", f"{other:.{digits}f}"

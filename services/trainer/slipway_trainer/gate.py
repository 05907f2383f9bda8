"""The gate: may this version be promoted? Pure, so that every decision can be explained and tested."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """What the gate decided.

    Attributes:
        promote: whether the version may become Production.
        reasons: one sentence for each comparison that was made.
    """

    promote: bool
    reasons: tuple[str, ...]

    @property
    def summary(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)


def decide(
    metrics: Mapping[str, float],
    floors: Mapping[str, float],
    *,
    metric: str,
    champion: float | None,
    max_regression: float = 0.0,
) -> Decision:
    """Compare a challenger with the recipe's floors and with the champion on the same rows.

    Args:
        metrics: the challenger's metrics on the test rows; greater is better.
        floors: the least value of each metric.
        metric: the metric that challenger and champion are compared by.
        champion: the champion's value of it on the same rows, or None where there is no champion.
        max_regression: by how much the challenger may be worse than the champion; a tie promotes.
    """
    promote, reasons = True, []
    for name, floor in sorted(floors.items()):
        value = metrics[name]
        passed = value >= floor  # NaN passes no floor
        promote &= passed
        reasons.append(f"{name} {value:.4f} {'meets' if passed else 'is below'} the floor {floor:.4f}")
    if champion is None:
        reasons.append("there is no champion to compare with")
    else:
        value = metrics[metric]
        passed = value >= champion - max_regression
        promote &= passed
        comparison = "is not worse than" if passed else "is worse than"
        reasons.append(f"{metric} {value:.4f} {comparison} the champion's {champion:.4f} on the same rows")
    return Decision(promote, tuple(reasons))

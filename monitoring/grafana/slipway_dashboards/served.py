"""Panels of the versions that are served: which they are, how much they predict, and how right they are."""

from slipway_dashboards.panels import About, Panel, Query, lines, names
from slipway_dashboards.queries import (
    CONFIDENCE,
    LEGEND,
    MODEL,
    ROWS,
    SERVED,
    VERSION,
    or_no_classifier,
    or_nothing_served,
    or_served,
    rate,
)


def versions(*, width: int) -> Panel:
    """Return the panel of their names."""
    return names(
        About(
            "Served versions",
            "The model versions that answer now, Production's and those that are pinned.",
            "none",
            "nothing is served",
        ),
        Query(or_nothing_served(SERVED), LEGEND),
        width=width,
    )


def predicted_rows(*, width: int) -> Panel:
    """Return the panel of what each is asked."""
    return lines(
        About("Predicted rows by version", "Rows per second of each model version.", "rows/s", "nothing is served"),
        Query(or_nothing_served(rate(ROWS, MODEL, by=VERSION)), LEGEND),
        width=width,
    )


def live_accuracy(*, width: int) -> Panel:
    """Return the panel of the classifiers' accuracy as feedback shows it."""
    accuracy = f"max by ({VERSION}) (slipway_live_accuracy_ratio{{{MODEL}}})"
    return lines(
        About(
            "Live accuracy",
            "Classifiers: the share of rows with feedback in the window with a correct prediction.",
            "percentunit",
            "no feedback yet",
        ),
        Query(or_no_classifier(or_served(accuracy, f"{CONFIDENCE}_count")), LEGEND),
        most=1,
        width=width,
    )

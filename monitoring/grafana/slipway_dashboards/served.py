"""Panels of the served versions: names, predicted rows and live accuracy."""

from slipway_dashboards.panels import About, Panel, Query, lines, names
from slipway_dashboards.queries import (
    CONFIDENCE,
    LEGEND,
    MODEL,
    ROWS,
    SERVED,
    VERSION,
    or_no_classifier,
    or_no_model,
    or_served,
    rate,
)


def versions(*, width: int) -> Panel:
    """Return the panel of the served versions' names."""
    return names(
        About(
            "Served versions",
            "The served model versions: Production and pinned ones.",
            "none",
            "no model is served",
        ),
        Query(or_no_model(SERVED), LEGEND),
        width=width,
    )


def predicted_rows(*, width: int) -> Panel:
    """Return the panel of each version's predicted rows."""
    return lines(
        About("Predicted rows by version", "Rows per second of each model version.", "rows/s", "no model is served"),
        Query(or_no_model(rate(ROWS, MODEL, by=VERSION)), LEGEND),
        width=width,
    )


def live_accuracy(*, width: int) -> Panel:
    """Return the panel of the classifiers' accuracy according to feedback."""
    accuracy = f"max by ({VERSION}) (slipway_live_accuracy_ratio{{{MODEL}}})"
    return lines(
        About(
            "Live accuracy",
            "Classifiers: the share of correct predictions among the rows with feedback in the window.",
            "percentunit",
            "no feedback yet",
        ),
        Query(or_no_classifier(or_served(accuracy, f"{CONFIDENCE}_count")), LEGEND),
        most=1,
        width=width,
    )

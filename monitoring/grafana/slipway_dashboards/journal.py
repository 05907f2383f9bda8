"""Panels of the journal, which stores predictions on the API's disk until they are in the database."""

from slipway_dashboards.panels import GREEN, NONE_IS_GOOD, RED, YELLOW, About, Kind, Panel, Query, value
from slipway_dashboards.queries import increase, or_zero


def size(kind: Kind, *, width: int) -> Panel:
    """Return the panel of the journal's size, as the latest number or over time."""
    return kind(
        About(
            "Journal size",
            "Predictions on the API's disk that are not in the database yet; near 0 while the database responds.",
            "bytes",
        ),
        Query(or_zero("max(slipway_journal_bytes)")),
        width=width,
    )


def oldest_record(kind: Kind, *, width: int) -> Panel:
    """Return the panel of the oldest record's age, as the latest number or over time."""
    return kind(
        About(
            "Oldest journal record",
            "How long the oldest prediction has waited for the database; above a minute, the journal is not draining.",
            "s",
        ),
        Query(or_zero("max(slipway_journal_oldest_record_seconds)")),
        # Above the last threshold, JournalNotDraining fires.
        steps=((None, GREEN), (30, YELLOW), (60, RED)),
        width=width,
    )


def dropped_records(*, width: int) -> Panel:
    """Return the panel of predictions that were not logged."""
    return value(
        About(
            "Dropped records", "Predictions with a response that were not stored, in the selected time range.", "none"
        ),
        Query(or_zero(increase("slipway_prediction_log_dropped_records_total"))),
        steps=NONE_IS_GOOD,
        width=width,
    )


def rejected_files(*, width: int) -> Panel:
    """Return the panel of the files that the shipper set aside."""
    return value(
        About(
            "Rejected files",
            "Files that were set aside because the database rejected a record, or because they are damaged.",
            "none",
        ),
        Query(or_zero("max(slipway_journal_rejected_files)")),
        steps=((None, GREEN), (1, YELLOW)),
        width=width,
    )

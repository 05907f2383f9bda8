"""Panels that show whether a service is up."""

from slipway_dashboards.panels import UP, About, Panel, Query, value
from slipway_dashboards.queries import or_zero


def is_up(title: str, description: str, series: str, *, width: int, texts: tuple[str, str] = ("down", "up")) -> Panel:
    """Return the panel of a service; without data it shows that the service is down.

    Args:
        title: the service's name.
        description: the panel's description.
        series: a series that is 1 while the service is up, and 0 otherwise.
        width: the width in 24ths of the dashboard.
        texts: the texts for 0 and 1.
    """
    return value(
        About(title, description, "none", "unknown"),
        Query(or_zero(f"min({series})")),
        steps=UP,
        texts=texts,
        width=width,
    )


def postgresql(*, width: int) -> Panel:
    """Return PostgreSQL's panel."""
    return is_up(
        "PostgreSQL",
        "Whether PostgreSQL can be queried. Without it, logins fail, and the journal stores predictions.",
        "pg_up",
        width=width,
    )

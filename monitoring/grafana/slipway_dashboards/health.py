"""Panels of whether a service is up."""

from slipway_dashboards.panels import UP, About, Panel, Query, value
from slipway_dashboards.queries import or_zero


def is_up(title: str, description: str, series: str, *, width: int, texts: tuple[str, str] = ("down", "up")) -> Panel:
    """Return the panel of a service; it is down, too, where nothing is known of it.

    Args:
        title: the service's name.
        description: what a person reads of the panel.
        series: what is 1 while the service is up, and 0 while it is not.
        width: in 24ths of the dashboard's.
        texts: what to show for 0 and for 1.
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

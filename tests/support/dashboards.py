"""The committed dashboards, and their queries as Grafana sends them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "monitoring/grafana/dashboards"


def dashboards() -> dict[str, dict[str, Any]]:
    """Return each committed dashboard by its file name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def panels_of(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a dashboard's panels, without the titles of its rows."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """Return the PromQL of every panel and annotation of a dashboard."""
    asked = [target["expr"] for panel in panels_of(dashboard) for target in panel["targets"]]
    return asked + [annotation["expr"] for annotation in dashboard["annotations"]["list"] if "expr" in annotation]


def as_sent(expr: str, *, model: str = ".*", window: str = "1m", shown: str = "1h") -> str:
    """Return a query as Grafana sends it, with its variables replaced.

    Args:
        expr: PromQL with Grafana's variables.
        model: the chosen models as a regular expression.
        window: the value of `$__rate_interval`.
        shown: the value of `$__range`: the time range of the dashboard.
    """
    for name, text in (("$__rate_interval", window), ("$__range", shown), ("$model", model)):
        expr = expr.replace(name, text)
    assert "$" not in expr, expr
    return expr

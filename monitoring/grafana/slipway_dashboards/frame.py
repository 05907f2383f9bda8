"""What every dashboard has: a stable address, links to the others, its refresh, and panels with stable numbers."""

import json
import zlib
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from slipway_dashboards.panels import PROMETHEUS, Panel
from slipway_dashboards.queries import VERSION

TAG = "slipway"


def frame(
    uid: str, title: str, description: str, rows: dict[str, Sequence[Panel]], *, by_model: bool = False
) -> build.Dashboard:
    """Return a dashboard.

    Args:
        uid: its address in Grafana, which bookmarks and links hold.
        title: its title.
        description: the question that it answers.
        rows: its panels below the title of each row.
        by_model: whether it can be narrowed down to some models.
    """
    made = (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            build.DashboardLink("Slipway")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
        .annotation(_versions())
    )
    if by_model:
        made = made.with_variable(_model())
    for row, panels in rows.items():
        made = made.with_row(build.Row(row).id(_number(uid, f"row {row}")))
        for panel in panels:
            made = made.with_panel(panel.id(_number(uid, str(panel.build().title))))
    return made


def to_json(made: build.Dashboard) -> str:
    """Return a dashboard as Grafana reads it, the same text for the same dashboard."""
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _number(uid: str, title: str) -> int:
    """Return a panel's number: of its title, so that a link to it outlives panels that come before it."""
    return zlib.crc32(f"{uid}/{title}".encode()) % 1_000_000 + 1


def _versions() -> build.AnnotationQuery:
    """Mark when another version came to be served."""
    served = f"max by ({VERSION}) (slipway_model_info == 1)"
    return (
        build.AnnotationQuery()
        .name("A version is served")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color("blue")
        .expr(f"{served} unless {served.replace(' == 1', ' offset 1m == 1')}")
    )


def _model() -> build.QueryVariable:
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        build.QueryVariable("model")
        .label("Model")
        .description("The models to look at.")
        .datasource(PROMETHEUS)
        .query("label_values(slipway_model_info, model)")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )

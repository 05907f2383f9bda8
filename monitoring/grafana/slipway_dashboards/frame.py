"""The parts that all dashboards share: a stable address, links to the others, a refresh, and stable panel ids."""

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
        uid: its id in Grafana's URLs, which bookmarks and links contain.
        title: the title.
        description: the question that the dashboard answers.
        rows: the panels by the title of their row.
        by_model: whether it has a filter by model.
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
    """Return a dashboard as JSON for Grafana; the same dashboard gives the same text."""
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _number(uid: str, title: str) -> int:
    """Return a panel's id, derived from its title, so that links to it survive new panels before it."""
    return zlib.crc32(f"{uid}/{title}".encode()) % 1_000_000 + 1


def _versions() -> build.AnnotationQuery:
    """Return an annotation for each time that another version is served."""
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
        .description("The models to show.")
        .datasource(PROMETHEUS)
        .query("label_values(slipway_model_info, model)")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )

"""The kinds of panels in the dashboards, with the settings that every panel needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = dashboard.DataSourceRef("prometheus", "prometheus")

GREEN, YELLOW, RED, BLUE, GREY = "green", "yellow", "red", "blue", "text"
# The number from which each colour applies; None for the first, which has no lower limit.
Steps = Sequence[tuple[float | None, str]]
PLAIN: Steps = ((None, BLUE),)
UP: Steps = ((None, RED), (1, GREEN))
NONE_IS_GOOD: Steps = ((None, GREEN), (1, RED))

Panel = stat.Panel | timeseries.Panel | heatmap.Panel | statetimeline.Panel
P = TypeVar("P", stat.Panel, timeseries.Panel, heatmap.Panel, statetimeline.Panel)


@dataclass(frozen=True)
class Query:
    """A panel's query of Prometheus.

    Attributes:
        expr: PromQL.
        legend: the name of each series, with labels as `{{model}}`.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class About:
    """The texts of a panel.

    Attributes:
        title: the panel's title.
        description: what the panel shows, and how to interpret it.
        unit: Grafana's name of the unit, such as `s`, `percentunit`, `reqps`.
        no_value: the text to show without data.
    """

    title: str
    description: str
    unit: str
    no_value: str = "no data yet"


class Kind(Protocol):
    """A kind of panel that shows numbers: `value` for the latest, `lines` for all of them over time."""

    def __call__(self, about: About, *queries: Query, steps: Steps = ..., width: int = ...) -> Panel:
        """Return a panel."""


def value(about: About, *queries: Query, steps: Steps = PLAIN, width: int = 4, texts: Sequence[str] = ()) -> stat.Panel:
    """Return a panel with the latest number of each series.

    Args:
        about: the panel's texts.
        queries: the panel's queries.
        steps: the number from which each colour applies.
        width: the width in 24ths of the dashboard.
        texts: the texts to show instead of the numbers 0, 1, and so on.
    """
    panel = _with(stat.Panel(), about, queries, steps, width, height=4, texts=texts)
    return (
        panel.color_mode(common.BigValueColorMode.BACKGROUND if steps is not PLAIN else common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE if texts else common.BigValueGraphMode.AREA)
        .reduce_options(build_common.ReduceDataOptions().calcs(["last"]))
    )


def names(about: About, query: Query, *, width: int = 8) -> stat.Panel:
    """Return a panel with the name of each series, such as the served versions."""
    panel = _with(stat.Panel(), about, [query], ((None, GREEN),), width, height=4)
    return (
        panel.text_mode(common.BigValueTextMode.NAME)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(build_common.ReduceDataOptions().calcs(["last"]))
    )


def lines(
    about: About,
    *queries: Query,
    steps: Steps = PLAIN,
    width: int = 12,
    is_stacked: bool = False,
    most: float | None = None,
    can_be_negative: bool = False,
) -> timeseries.Panel:
    """Return a panel of curves over time, with the last and the maximum value of each in its legend.

    Args:
        about: the panel's texts.
        queries: the panel's queries.
        steps: the number from which each colour applies; several are drawn as lines.
        width: the width in 24ths of the dashboard.
        is_stacked: whether the curves add up.
        most: the minimum upper end of the axis.
        can_be_negative: whether the axis starts at the lowest value instead of at 0.
    """
    panel = _with(timeseries.Panel(), about, queries, steps, width, height=8)
    panel = (
        panel.color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .legend(
            build_common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .line_width(1)
        .fill_opacity(40 if is_stacked else 10)
        .show_points(common.VisibilityMode.AUTO)
    )
    if is_stacked:
        panel = panel.stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if len(steps) > 1:
        dashed = common.GraphThresholdsStyleMode.DASHED
        panel = panel.thresholds_style(build_common.GraphThresholdsStyleConfig().mode(dashed))
    if not can_be_negative:
        panel = panel.axis_soft_min(0)
    return panel if most is None else panel.axis_soft_max(most)


def heat_map(about: About, query: Query, *, width: int = 12) -> heatmap.Panel:
    """Return a panel of a histogram's buckets over time; the query must group by `le`."""
    panel = _with(heatmap.Panel(), about, [query], PLAIN, width, height=8, form=PromQueryFormat.HEATMAP)
    return (
        panel.calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(about.unit).axis_placement(common.AxisPlacement.LEFT))
        .cell_gap(1)
        .mode(common.TooltipDisplayMode.SINGLE)
        .show_legend()
    )


def states(about: About, *queries: Query, steps: Steps, texts: Sequence[str], width: int = 12) -> statetimeline.Panel:
    """Return a panel of states over time, one row for each series.

    Args:
        about: the panel's texts.
        queries: the panel's queries.
        steps: the colour of each number.
        texts: the name of each number, from 0 on.
        width: the width in 24ths of the dashboard.
    """
    panel = _with(statetimeline.Panel(), about, queries, steps, width, height=8, texts=texts)
    return (
        panel.color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .show_value(common.VisibilityMode.NEVER)
        .merge_values(True)
        .legend(build_common.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM))
    )


def _with(
    panel: P,
    about: About,
    queries: Sequence[Query],
    steps: Steps,
    width: int,
    *,
    height: int,
    texts: Sequence[str] = (),
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> P:
    panel.title(about.title).description(about.description).datasource(PROMETHEUS)
    panel.unit(about.unit).no_value(about.no_value).span(width).height(height)
    colours = [dashboard.Threshold(start, colour) for start, colour in steps]
    panel.thresholds(build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(colours))
    missing = dashboard.ValueMappingResult(text=about.no_value, color=GREY, index=len(texts))
    mappings: list[dashboard.ValueMapping] = [
        dashboard.SpecialValueMap(
            dashboard.DashboardSpecialValueMapOptions(dashboard.SpecialValueMatch.NULL_AND_NAN, missing)
        )
    ]
    if texts:
        named = {
            str(number): dashboard.ValueMappingResult(text=text, index=number) for number, text in enumerate(texts)
        }
        mappings.append(dashboard.ValueMap(named))
    panel.mappings(mappings)
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend or about.title)
        panel.with_target(target.range().format(form).datasource(PROMETHEUS))
    return panel

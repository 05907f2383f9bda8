"""Grafana's dashboards match the code, describe their panels, and query only existing series."""

import json
import re
from typing import Any

import pytest
import yaml

from slipway_dashboards.__main__ import files
from support.dashboards import FOLDER, dashboards, expressions, panels_of
from support.metrics import api_families

GRAFANA = FOLDER.parent
# Phrases that the panels once had: see "per second" and the like instead.
UNCLEAR = re.compile(r"[a-z] a second\b|served on\b|\b(?:told|nobody|asked)\b|\bWithin which time")
NAMES = ("api", "infrastructure", "model", "overview")
# Series of Prometheus itself, and the prefixes of its exporters.
FOREIGN = re.compile(
    r"up|ALERTS|scrape_duration_seconds|(node|pg|probe|prometheus|alertmanager)_\w+"
    r"|process_(cpu_seconds_total|resident_memory_bytes|open_fds|start_time_seconds)"
)
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "summary": ("_sum", "_count"),
    "histogram": ("_sum", "_count", "_bucket"),
}
# A word of PromQL; functions and keywords are excluded by KEYWORDS.
WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
KEYWORDS = {
    *("sum", "min", "max", "avg", "count", "by", "on", "group_left", "or", "and", "unless", "offset", "NaN", "vector"),
    *("rate", "increase", "delta", "changes", "topk", "clamp_min", "histogram_quantile", "label_replace"),
}


def panels() -> list[Any]:
    """Return each panel of each dashboard, named for a report."""
    return [
        pytest.param(panel, id=f"{name}: {panel['title']}")
        for name, dashboard in dashboards().items()
        for panel in panels_of(dashboard)
    ]


def series_in(expr: str) -> set[str]:
    """Return the names of the series in a query."""
    bare = re.sub(r'"[^"]*"', "", expr)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|group_left)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"(?<![a-zA-Z_])\d+[smhd]?\b|\d*\.?\d+e-?\d+", " ", bare)
    return set(WORD.findall(bare)) - KEYWORDS


def known_series() -> set[str]:
    """Return the names of the series that the API exports."""
    return {family.name + suffix for family in api_families() for suffix in SUFFIXES[family.type]}


@pytest.mark.parametrize("name", NAMES)
def test_committed_dashboard_matches_the_code(name: str) -> None:
    committed = (FOLDER / f"{name}.json").read_text(encoding="utf-8")

    assert committed == files()[f"{name}.json"], "run `make dashboards` and commit what it writes"


def test_dashboard_folder_has_no_other_file() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(files())


def test_dashboard_has_uid_refresh_and_links_to_the_others() -> None:
    for name, dashboard in dashboards().items():
        assert dashboard["uid"] == f"slipway-{name}"
        assert dashboard["refresh"] == "30s"
        assert dashboard["description"].endswith("?")
        assert "slipway" in dashboard["tags"]
        assert [(link["type"], link["tags"]) for link in dashboard["links"]] == [("dashboards", ["slipway"])]
        assert "id" not in dashboard


def test_panel_ids_are_unique_and_depend_on_titles_only() -> None:
    for name, dashboard in dashboards().items():
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(numbers)) == len(numbers), name
    served = next(panel for panel in dashboards()["overview"]["panels"] if panel["title"] == "Served versions")
    assert served["id"] == 235_106  # links hold it


def test_panels_do_not_overlap() -> None:
    for name, dashboard in dashboards().items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])
            }
            assert place["x"] + place["w"] <= 24, f"{name}: {panel['title']}"
            assert not cells & taken, f"{name}: {panel['title']}"
            taken |= cells


@pytest.mark.parametrize("panel", panels())
def test_each_panel_has_a_description(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]

    assert panel["title"]
    assert panel["description"].endswith(".")
    assert defaults["unit"]
    assert defaults["noValue"]
    assert defaults["thresholds"]["steps"]
    assert panel["datasource"]["uid"] == "prometheus"


@pytest.mark.parametrize("panel", panels())
def test_each_query_has_a_name_and_existing_series(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        asked = series_in(target["expr"])
        assert asked, target["expr"]
        assert {name for name in asked if not FOREIGN.fullmatch(name)} <= known_series()
        assert target["legendFormat"]
        assert target["datasource"]["uid"] == "prometheus"


@pytest.mark.parametrize("panel", panels())
def test_panel_has_a_plain_text_and_a_readable_unit(panel: dict[str, Any]) -> None:
    text = f"{panel['title']} {panel['description']}"

    assert not UNCLEAR.search(text)
    assert panel["fieldConfig"]["defaults"]["unit"] not in {"cps", "cpm"}  # shown as "c/s": of what?
    if re.search(r"error$|predicted value$|accuracy$", panel["title"]):
        assert panel["fieldConfig"]["defaults"]["unit"] != "none", "name the unit in the title, or set it"
    if "target's unit" in panel["title"]:
        assert "unit of the model's target" in panel["description"]


def test_values_out_of_range_are_shown_by_feature() -> None:
    [panel] = [panel for panel in panels_of(dashboards()["model"]) if "by feature" in panel["title"]]
    [target] = panel["targets"]

    assert "sum by (model, version, feature) (rate(slipway_prediction_out_of_range_values_total" in target["expr"]
    assert "{{feature}}" in target["legendFormat"]


def test_panels_with_equal_queries_have_equal_texts() -> None:
    said: dict[tuple[str, ...], list[tuple[object, ...]]] = {}
    for dashboard in dashboards().values():
        for panel in panels_of(dashboard):
            defaults = panel["fieldConfig"]["defaults"]
            asked = tuple(target["expr"] for target in panel["targets"])
            words = (panel["title"], panel["description"], defaults["unit"], defaults["noValue"])
            said.setdefault(asked, []).append((*words, defaults["thresholds"], defaults["mappings"]))
    shared = [panels for panels in said.values() if len(panels) > 1]

    assert shared
    assert [panels for panels in shared if any(panel != panels[0] for panel in panels)] == []


def test_dashboard_by_model_has_a_variable_that_defaults_to_all() -> None:
    for name, dashboard in dashboards().items():
        asks = any("$model" in expr for expr in expressions(dashboard))
        variables = dashboard["templating"].get("list", [])
        assert [variable["name"] for variable in variables] == (["model"] if asks else []), name
        for variable in variables:
            assert variable["current"]["value"] == ["$__all"]
            assert (variable["allValue"], variable["includeAll"], variable["multi"]) == (".*", True, True)


def test_data_sources_have_the_uids_of_the_dashboards() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/datasources.yaml").read_text(encoding="utf-8"))

    assert {source["uid"]: source["url"] for source in provisioned["datasources"]} == {
        "prometheus": "http://prometheus:9090",
        "alertmanager": "http://alertmanager:9093",
    }


def test_dashboards_are_read_from_their_mount() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/dashboards/dashboards.yaml").read_text(encoding="utf-8"))

    [provider] = provisioned["providers"]
    assert provider["folder"] == "Slipway"
    assert provider["options"] == {"path": "/var/lib/grafana/dashboards"}


@pytest.mark.parametrize(
    ("expr", "series"),
    [
        ('sum by (le) (rate(a_bucket{b=~".*", c="d"}[$__rate_interval])) / 2', {"a_bucket"}),
        ('(max(a)) or (label_replace(vector(NaN), "model", "e f", "", "") unless on () (max(a)))', {"a"}),
        ("clamp_min(x_total, 1e-9) * 0 and on (model, version) y offset 1m", {"x_total", "y"}),
    ],
)
def test_series_are_found_in_a_query(expr: str, series: set[str]) -> None:
    assert series_in(expr) == series


def test_committed_json_has_no_runtime_fields_of_grafana() -> None:
    for path in FOLDER.glob("*.json"):
        assert {"id", "version", "iteration"}.isdisjoint(json.loads(path.read_text(encoding="utf-8")))

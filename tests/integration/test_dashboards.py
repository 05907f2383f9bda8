"""The queries of the dashboards on a real Prometheus that scrapes a newly started API."""

import math
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.api_process import ApiProcess, api_process
from support.dashboards import as_sent, dashboards, expressions, panels_of
from support.postgres import new_database
from support.scraping import PROGRAMS, Prometheus, exporters, job, program, program_or_skip, prometheus
from support.waiting import wait_for

pytestmark = pytest.mark.slow

ROW = {"features": [5.1, 3.5, 1.4, 0.2]}
DASHBOARDS = dashboards()
# The prefixes of the metrics that need each program.
NEEDED = {"node": "node_", "postgres": "pg_", "blackbox": "probe_", "alertmanager": "alertmanager_"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with api_process(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture(scope="module")
def server(
    api: ApiProcess, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Prometheus]:
    """A Prometheus after one prediction, one rejected request, and no error."""
    program_or_skip("prometheus")
    database = new_database(request.getfixturevalue("postgres_address")) if program("postgres") else None
    probed = dict.fromkeys(("mlflow", "minio"), f"{api.url}/health/live")
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("exporters")
        jobs = stack.enter_context(exporters(folder, probed=probed, database=database))
        jobs = [job("api", api.address), *jobs]
        server = stack.enter_context(prometheus(tmp_path_factory.mktemp("prometheus"), jobs))
        targets = 1 + sum(len(one["static_configs"]) for one in jobs)
        wait_for(lambda: len(server.ask("up == 1")) == targets, seconds=30, what="every target")

        assert api.call("POST", "/predict", json=ROW).status_code == 200
        assert api.call("POST", "/predict", json={"features": [1.0]}).status_code == 422

        seen = 'slipway_http_requests_total{route="/predict", status="422"} == 1'
        # A rate needs two samples.
        wait_for(lambda: server.ask(f"count_over_time(({seen})[30s:1s]) > 1"), seconds=30, what="the two requests")
        yield server


def missing(expr: str) -> list[str]:
    """Return the missing programs that a query needs."""
    return [PROGRAMS[name][0] for name, prefix in NEEDED.items() if prefix in expr and program(name) is None]


def query(dashboard: str, title: str, number: int = 0) -> str:
    """Return a query of a panel as Grafana sends it."""
    [panel] = [panel for panel in panels_of(DASHBOARDS[dashboard]) if panel["title"] == title]
    return as_sent(panel["targets"][number]["expr"])


CHOSEN = (".*", "iris", "demand", "(iris|demand)", "no-such-model", "")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        (name, model)
        for name, dashboard in DASHBOARDS.items()
        for model in (CHOSEN if dashboard.get("templating") else CHOSEN[:1])
    ],
)
def test_every_query_has_a_result_for_any_model(server: Prometheus, name: str, model: str) -> None:
    asked = [
        as_sent(target["expr"], model=model) for panel in panels_of(DASHBOARDS[name]) for target in panel["targets"]
    ]

    empty = [expr for expr in asked if not missing(expr) and not server.ask(expr)]

    assert empty == []


@pytest.mark.parametrize("needed", sorted(NEEDED))
def test_every_exporter_has_the_queried_metrics(server: Prometheus, needed: str) -> None:
    program_or_skip(needed)
    asked = {as_sent(expr) for dashboard in DASHBOARDS.values() for expr in expressions(dashboard)}
    about = [expr for expr in asked if NEEDED[needed] in expr]

    # A query with a fallback would hide a missing series.
    found = server.ask(f'count({{__name__=~"{NEEDED[needed]}.*"}})')
    told = {labels["__name__"] for labels, _ in server.ask(f'{{__name__=~"{NEEDED[needed]}.*"}}')}
    wanted = {word for expr in about for word in words(expr) if word.startswith(NEEDED[needed])}

    assert found
    assert wanted - told == set()


def words(expr: str) -> list[str]:
    """Return the words of a query."""
    return "".join(letter if letter.isalnum() or letter == "_" else " " for letter in expr).split()


def test_every_annotation_is_a_valid_query(server: Prometheus) -> None:
    for dashboard in DASHBOARDS.values():
        for annotation in dashboard["annotations"]["list"]:
            server.ask(as_sent(annotation["expr"]))


def test_first_prediction_is_shown(server: Prometheus) -> None:
    assert server.number(query("overview", "Predicted rows per second")) > 0
    assert 0 < server.number(query("overview", "Latency p50")) < 10
    rows = {labels["class"]: rate for labels, rate in server.ask(query("model", "Rows by class"))}
    assert {name: rate > 0 for name, rate in rows.items()} == {"setosa": True, "versicolor": False, "virginica": False}
    [(_, confidence)] = server.ask(query("model", "Mean confidence"))
    assert 0.9 < confidence <= 1


def test_error_ratio_without_errors_is_0(server: Prometheus) -> None:
    assert server.number(query("overview", "Error ratio")) == 0
    by_route = {labels["route"]: ratio for labels, ratio in server.ask(query("api", "Error ratio by route"))}
    assert by_route["/predict"] == 0


def test_rejected_request_is_shown_by_its_status(server: Prometheus) -> None:
    statuses = {labels["status"] for labels, _ in server.ask(query("api", "Rejected requests"))}

    assert statuses == {"422"}


def test_version_without_feedback_has_no_accuracy(server: Prometheus) -> None:
    [(labels, accuracy)] = server.ask(query("model", "Live accuracy"))

    assert (labels["model"], labels["version"]) == ("iris", "1")
    assert math.isnan(accuracy)


def test_panel_states_that_no_alert_fires(server: Prometheus) -> None:
    assert server.number(query("overview", "Firing alerts")) == 0
    [(labels, _)] = server.ask(query("overview", "Alerts"))
    assert labels == {"alertname": "no alert is firing"}

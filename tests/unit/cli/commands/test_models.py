"""`slipway models` with a fake registry; tests/integration uses a real one."""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipway_cli.cli import main
from support.command import run
from support.servers import free_port
from support.stub_api import Answer, Asked, StubApi, problem, stub_api

VERSION = {"name": "iris", "version": "1", "run_id": "r1", "creation_timestamp": 1_800_000_000_000, "tags": []}


def registry_of(model: dict[str, Any], *versions: dict[str, object]) -> Callable[[Asked], Answer]:
    """Return a function that responds like an MLflow server with one model."""
    answers: dict[str, object] = {
        "registered-models/search": {"registered_models": [model]},
        "registered-models/get": {"registered_model": model},
        "model-versions/search": {"model_versions": list(versions)},
        "model-versions/get": {"model_version": versions[0] if versions else {}},
    }

    def answer(asked: Asked) -> Answer:
        call = asked.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        if call == "registered-models/set-tag":
            model["tags"] = [*model.get("tags", []), asked.json]
        return Answer(answers.get(call, {}))

    return answer


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    """An empty registry at the address in MLFLOW_TRACKING_URI."""
    with stub_api(lambda _asked: Answer({})) as stub:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stub.url)
        yield stub


def test_empty_registry_suggests_a_training(registry: StubApi) -> None:
    ended = run(main, "models", "list")

    assert ended.exit_code == 0
    assert ended.output == "No model is registered: `slipway train iris` trains one.\n"
    assert json.loads(run(main, "models", "list", "--json").output) == []


def test_model_without_production_is_shown(registry: StubApi) -> None:
    registry.answer = registry_of({"name": "iris"}, VERSION)

    assert "–" in run(main, "models", "list").output
    assert "iris: Production is not set" in run(main, "models", "show", "iris").output


def test_foreign_version_is_shown_without_metrics(registry: StubApi) -> None:
    registry.answer = registry_of({"name": "iris"}, VERSION)

    ended = run(main, "models", "show", "iris", "--json")

    (version,) = json.loads(ended.output)["versions"]
    assert version["metrics"] == {}
    assert version["gate"] == []
    assert version["data_version"] is None
    assert version["registered_at"] == "2027-01-15T08:00:00+00:00"


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("slipway.metrics", "not JSON"),
        ("slipway.metrics", '{"accuracy": "high"}'),
        ("slipway.gate", "not JSON"),
        ("slipway.gate", "[1]"),
    ],
)
def test_invalid_tag_does_not_hide_the_versions(registry: StubApi, tag: str, value: str) -> None:
    registry.answer = registry_of({"name": "iris"}, {**VERSION, "tags": [{"key": tag, "value": value}]})

    ended = run(main, "models", "show", "iris")

    assert ended.exit_code == 0
    assert "2027-01-15 08:00" in ended.output


@pytest.mark.parametrize("value", ["not JSON", '{"accuracy": "high"}'])
def test_invalid_metrics_do_not_stop_a_promotion(registry: StubApi, value: str) -> None:
    tags = [{"key": "slipway.metrics", "value": value}]
    registry.answer = registry_of({"name": "iris"}, {**VERSION, "tags": tags})

    ended = run(main, "models", "promote", "iris", "1")

    assert ended.exit_code == 0
    assert ended.output.startswith("Production of iris is now version 1.\n")
    assert "The registry has no SHA-256 of its bundle" in ended.output


def test_promoting_production_again_adds_no_event(registry: StubApi) -> None:
    registry.answer = registry_of({"name": "iris", **alias("1")}, VERSION)

    ended = run(main, "models", "promote", "iris", "1")

    assert (ended.exit_code, ended.output) == (0, "Version 1 of iris is already Production.\n")
    assert {asked.method for asked in registry.asked} == {"GET"}


@pytest.mark.parametrize("description", ["prices in [eur]", "[/] closes nothing"])
def test_description_is_shown_unchanged(registry: StubApi, description: str) -> None:
    registry.answer = registry_of({"name": "prices", "description": description})

    ended = run(main, "models", "list")

    assert description in ended.output


def test_reason_of_the_gate_is_shown_unchanged(registry: StubApi) -> None:
    gate = {
        "key": "slipway.gate",
        "value": json.dumps({"checks": [{"name": "floor", "passed": False, "reason": "[accuracy] is too low"}]}),
    }
    registry.answer = registry_of({"name": "iris"}, {**VERSION, "tags": [gate]})

    assert "[accuracy] is too low" in run(main, "models", "show", "iris").output


def event(number: int, action: str, before: str | None, version: str, reason: str) -> dict[str, str]:
    told = {"action": action, "version": version, "from": before, "by": "ada", "at": "2026-11-20T12:00:00Z"}
    value = json.dumps({**told, "reason": reason, "metrics": {"accuracy": 0.97}, "data_version": "sha256:1"})
    return {"key": f"slipway.event.{number:06d}", "value": value}


def alias(version: str) -> dict[str, object]:
    return {"aliases": [{"alias": "Production", "version": version}]}


def test_history_lists_every_move_newest_first(registry: StubApi) -> None:
    tags = [event(1, "promote", None, "1", "[first]"), event(2, "promote", "1", "2", "better")]
    registry.answer = registry_of({"name": "iris", "tags": tags, **alias("2")})

    moves = json.loads(run(main, "models", "history", "iris", "--json").output)
    shown = run(main, "models", "history", "iris").output

    assert moves[0] == {
        "action": "promote",
        "version": "2",
        "from": "1",
        "at": "2026-11-20T12:00:00Z",
        "by": "ada",
        "reason": "better",
        "metrics": {"accuracy": 0.97},
        "data_version": "sha256:1",
        "signature": None,
    }
    assert [move["version"] for move in moves] == ["2", "1"]
    for part in ("1 → 2", "– → 1", "2026-11-20 12:00", "ada", "accuracy 0.9700", "[first]", "better"):
        assert part in shown


def test_external_move_is_shown_in_the_history(registry: StubApi) -> None:
    tags = [event(1, "promote", None, "1", "first")]
    registry.answer = registry_of({"name": "iris", "tags": tags, **alias("3")}, VERSION)

    newest = json.loads(run(main, "models", "history", "iris", "--json").output)[0]

    assert (newest["action"], newest["from"], newest["version"], newest["by"]) == ("external", "1", "3", None)
    assert "the alias was moved outside of Slipway" in " ".join(run(main, "models", "history", "iris").output.split())
    assert "Production was moved outside of Slipway" in run(main, "models", "show", "iris").output


def test_history_without_promotion_states_it(registry: StubApi) -> None:
    registry.answer = registry_of({"name": "iris"})

    assert run(main, "models", "history", "iris").output == "Production of iris has never been set.\n"
    assert run(main, "models", "history", "iris", "--json").output == "[]\n"


def test_rollback_without_earlier_version_is_rejected(registry: StubApi) -> None:
    registry.answer = registry_of({"name": "iris", "tags": [event(1, "promote", None, "1", "first")], **alias("1")})

    ended = run(main, "models", "rollback", "iris")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: version 1 is the first Production version of iris")
    assert "slipway models promote iris VERSION" in ended.error


def test_promoting_a_withdrawn_version_lifts_the_withdrawal(registry: StubApi) -> None:
    withdrawn = {"key": "slipway.withdrawn", "value": "{}"}
    registry.answer = registry_of({"name": "iris"}, {**VERSION, "tags": [withdrawn]})

    assert "The withdrawal of this version is lifted" in run(main, "models", "promote", "iris", "1").output
    assert "withdrawn" in run(main, "models", "show", "iris").output


def test_unreachable_registry_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    ended = run(main, "models", "list")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: the model registry cannot be reached: check that the MLflow server runs")
    assert "slipway doctor" in ended.error


def test_rejected_registry_access_is_reported(registry: StubApi) -> None:
    registry.answer = lambda _asked: problem(403, "Invalid Host header")

    ended = run(main, "models", "list")

    assert ended.exit_code == 1
    assert "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in ended.error


def test_name_and_password_are_sent_to_the_registry(registry: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")

    run(main, "models", "list")

    assert registry.asked[0].headers["Authorization"] == "Basic YWRhOnNlY3JldA=="


@pytest.mark.parametrize(("name", "by"), [("ada", "ada"), (None, "uid 54321")])
def test_history_names_the_author_of_a_promotion(
    registry: StubApi, monkeypatch: pytest.MonkeyPatch, name: str | None, by: str
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    if name is None:
        monkeypatch.setattr(os, "getuid", lambda: 54321)  # as in a container that is run as any user
    else:
        monkeypatch.setenv("LOGNAME", name)
    registry.answer = registry_of({"name": "iris"}, VERSION)

    run(main, "models", "promote", "iris", "1")

    [tag] = [asked.json for asked in registry.asked if asked.path.endswith("registered-models/set-tag")]
    assert json.loads(tag["value"])["by"] == by


METRICS = {"f1_macro": 1.0, "accuracy": 1.0, "balanced_accuracy": 0.5, "log_loss": 0.1, "recall_macro": 0.25}
BY_F1 = {"name": "f1_macro against Production", "metric": "f1_macro", "passed": True, "reason": "better"}
BY_RECALL = {"name": "floor of recall_macro", "metric": "recall_macro", "passed": True, "reason": "above"}


FAILED = {"name": "rows of data", "passed": False, "reason": "too few"}


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", ["✓ better", "✗ too few"]), ("ascii", ["passed: better", "failed: too few"])]
)
def test_passed_and_failed_checks_are_marked(
    registry: StubApi, monkeypatch: pytest.MonkeyPatch, encoding: str, shown: list[str]
) -> None:
    tags = [{"key": "slipway.gate", "value": json.dumps({"checks": [BY_F1, FAILED]})}]
    registry.answer = registry_of({"name": "iris"}, {**VERSION, "tags": tags})
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    monkeypatch.setattr(sys, "argv", ["slipway", "models", "show", "iris"])

    with pytest.raises(SystemExit):
        main()

    output = raw.getvalue().decode(encoding)
    assert [sentence in output for sentence in shown] == [True, True]


@pytest.mark.parametrize(
    ("metrics", "checks", "shown"),
    [
        (METRICS, [BY_RECALL, BY_F1], ["f1_macro 1.0000", "recall_macro 0.2500", "accuracy 1.0000"]),
        (dict(reversed(METRICS.items())), [BY_F1], ["f1_macro 1.0000", "recall_macro 0.2500", "accuracy 1.0000"]),
        (METRICS, [], ["f1_macro 1.0000", "accuracy 1.0000"]),
        ({"r2": 0.5, "rmse": 12.0}, [], ["r2 0.5000", "rmse 12.0000"]),
        ({"accuracy": 1}, [BY_F1], ["accuracy 1.0000"]),
    ],
)
def test_metrics_of_the_gate_are_shown_first(
    registry: StubApi, metrics: dict[str, float], checks: list[dict[str, object]], shown: list[str]
) -> None:
    tags = [
        {"key": "slipway.metrics", "value": json.dumps(metrics)},
        {"key": "slipway.gate", "value": json.dumps({"checks": checks})},
    ]
    registry.answer = registry_of({"name": "iris"}, {**VERSION, "tags": tags})

    output = run(main, "models", "show", "iris").output

    names = "|".join([*METRICS, "r2", "rmse"])
    assert re.findall(rf"\b(?:{names}) \d+\.?\d*", output) == shown
    (version,) = json.loads(run(main, "models", "show", "iris", "--json").output)["versions"]
    assert version["metrics"] == metrics

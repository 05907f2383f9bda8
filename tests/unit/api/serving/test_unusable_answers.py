"""Results that a manifest excludes: a clean error, logged and counted; rounding errors are clipped."""

import pytest
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import RunningApi, StartApi
from support.bundles import bundle_files, echo_classifier, register

GOOD = [5.0, 10.0, 0.0, 0.0]


@pytest.fixture
def echo(start_api: StartApi) -> RunningApi:
    """Run an app whose iris returns a tenth of its input: the first feature as the class, the others as scores."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(model=echo_classifier()), promote=True)
    return start_api(registry)


def test_response_allowed_by_the_manifest_is_returned(echo: RunningApi) -> None:
    body = echo.post("/predict", role=Role.USER, json={"features": [GOOD, [25.0, 0.0, 0.0, 10.0]]}).json()

    assert body["label"] == ["setosa", "virginica"]
    assert body["probabilities"] == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([30.0, 10.0, 0.0, 0.0], "a class that is not one of the manifest's 3"),
        ([-10.0, 10.0, 0.0, 0.0], "a class that is not one of the manifest's 3"),
        ([5.0, 10.1, 0.0, 0.0], "scores outside [0, 1]"),
        ([5.0, 10.0, -0.1, 0.0], "scores outside [0, 1]"),
    ],
)
def test_unusable_response_is_reported_logged_and_counted(
    echo: RunningApi, logs: list[EventDict], row: list[float], rows: int, reason: str
) -> None:
    answer = echo.post("/predict", role=Role.USER, json={"features": [GOOD] * (rows - 1) + [row]})

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["detail"] == (
        "version 1 of iris failed or returned invalid output for this request; roll back to another version"
    )
    assert echo.sample("slipway_model_unusable_answers_total", model="iris", version="1") == 1
    [told] = [entry for entry in logs if entry["event"] == "model_answer_unusable"]
    assert (told["model"], told["version"], told["log_level"]) == ("iris", "1", "error")
    assert reason in told["reason"]


def test_probabilities_rounded_out_of_range_are_clipped(echo: RunningApi) -> None:
    answer = echo.post("/predict", role=Role.USER, json={"features": [5.0, 10.00001, -0.00001, 0.0]})

    assert answer.status_code == 200
    assert answer.json()["probabilities"] == [[1.0, 0.0, 0.0]]


def test_unusable_response_does_not_affect_others(echo: RunningApi) -> None:
    echo.post("/predict", role=Role.USER, json={"features": [30.0, 10.0, 0.0, 0.0]})

    assert echo.post("/predict", role=Role.USER, json={"features": GOOD}).status_code == 200
    assert echo.get("/health/ready").status_code == 200

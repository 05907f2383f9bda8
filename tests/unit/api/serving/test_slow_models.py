"""Slow models: they run beside the event loop, end at their deadline, and cannot block other requests."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import httpx
import numpy as np
import pytest
from structlog.typing import EventDict

from slipway_api.accounts.models import Role
from slipway_api.serving import inline_rows
from slipway_api.serving.inline_rows import INLINE_BYTES, measure_inline_rows
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.rows import Rows
from support.api import RunningApi, StartApi
from support.bundles import bundle_files, golden_of, linear_classifier, register, regressor
from support.slow_models import loop_classifier, matmul_classifier, one_operator_classifier
from support.waiting import wait_for

FAST = [5.1, 3.5, 1.4, 0.2]
BUSY = [5.1, 3.5, 1.4, 1000.0]


class FakeTimer:
    """A clock that each run advances by its rows times a number of seconds."""

    def __init__(self, first: float, further: float) -> None:
        self.now = 0.0
        self.first = first
        self.further = further
        self.sizes: list[int] = []

    def perf_counter(self) -> float:
        return self.now

    def run(self, rows: Rows) -> None:
        self.sizes.append(len(rows))
        self.now += self.first + self.further * (len(rows) - 1)


@pytest.mark.parametrize(
    ("first", "further", "expected"),
    [
        (0.00001, 0.0, INLINE_BYTES // 4),  # fast for any small body
        (0.00001, 0.00001, 64),
        (0.0005, 0.0005, 4),
        (0.0019, 0.0019, 1),
        (0.0021, 0.0, 0),
        (0.262, 0.262, 0),
        (0.00001, 0.1, 1),  # one row is fast, four are not
    ],
)
def test_inline_rows_follow_the_measured_time(
    monkeypatch: pytest.MonkeyPatch, first: float, further: float, expected: int
) -> None:
    timer = FakeTimer(first, further)
    monkeypatch.setattr(inline_rows, "time", timer)

    found = measure_inline_rows(timer.run, np.zeros((3, 4), dtype=np.float32))

    assert found == expected
    assert max(timer.sizes) <= INLINE_BYTES // 4
    assert len(timer.sizes) <= 20
    assert timer.now < 1.0


def test_preempted_run_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = FakeTimer(0.00001, 0.0)
    monkeypatch.setattr(inline_rows, "time", timer)

    def run(rows: Rows) -> None:
        timer.run(rows)
        timer.now += 0.03 * (len(timer.sizes) % 3 > 0)

    assert measure_inline_rows(run, np.zeros((1, 4), dtype=np.float32)) == INLINE_BYTES // 4


@pytest.mark.parametrize(
    ("graph", "can_be_inline"),
    [
        (linear_classifier(), True),
        (regressor(), True),
        # Ten times slower than the limit on a fast machine.
        (matmul_classifier(512, 40), False),
        (one_operator_classifier(5000), False),
    ],
    ids=["linear", "regressor", "matmul", "one operator"],
)
def test_models_run_inline_according_to_their_own_time(graph: bytes, can_be_inline: bool) -> None:
    inline = _inline_rows_of(graph)

    assert (inline > 0) is can_be_inline


def _inline_rows_of(graph: bytes) -> int:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # as the API has it
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    rows = np.array([FAST], dtype=np.float32)

    def run(matrix: Rows) -> None:
        session.run(None, {"X": matrix})

    run(rows)
    return measure_inline_rows(run, rows)


@pytest.fixture
def slow(start_api: StartApi) -> Iterator[RunningApi]:
    """Run an app with iris, with `loop`, whose Loop runs for minutes for BUSY, and `stuck`, which cannot be ended."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    for name, graph in (("loop", loop_classifier()), ("stuck", one_operator_classifier())):
        register(registry, bundle_files(name, graph, golden_of(graph)), name, promote=True)
    api = start_api(registry, models=("iris", "loop", "stuck"), default_model="iris", request_timeout_seconds=0.4)
    api.app.state.pool._stuck_seconds = 0.1
    yield api
    wait_for(lambda: not api.app.state.pool._busy, seconds=30, what="the end of all runs")


def begin(api: RunningApi, model: str, row: list[float], count: int = 1) -> "list[Future[httpx.Response]]":
    body = {"features": row}
    return [api.send("POST", f"/models/{model}/predict", role=Role.USER, json=body) for _ in range(count)]


def statuses(answers: "list[Future[httpx.Response]]") -> list[int]:
    return [answer.result(timeout=30).status_code for answer in answers]


def test_health_and_other_models_respond_beside_a_slow_model(slow: RunningApi) -> None:
    slow.gateway._deadlines.seconds = 2.0
    calls: list[tuple[str, Any]] = [
        ("/models/loop/predict", {"features": BUSY}),
        ("/models/loop/predict", {"features": [BUSY, FAST]}),
        ("/v2/models/loop/infer", {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": BUSY}]}),
    ]
    busy = [slow.send("POST", path, role=Role.USER, json=body) for path, body in calls * 5]

    health = slow.get("/health/ready")
    other = slow.post("/models/iris/predict", role=Role.USER, json={"features": FAST})
    waiting = [answer for answer in busy if not answer.done()]

    assert (health.status_code, other.status_code) == (200, 200)
    assert waiting  # a run on the event loop would block both until it ends
    assert set(statuses(busy)) == {504}


def test_overdue_run_is_terminated_between_operators(slow: RunningApi, logs: list[EventDict]) -> None:
    [answer] = begin(slow, "loop", BUSY)

    assert statuses([answer]) == [504]
    wait_for(lambda: not slow.app.state.pool._busy, seconds=5, what="the end of the run")
    assert slow.sample("slipway_model_unusable_answers_total", model="loop", version="1") == 0
    assert "model_answer_unusable" not in [entry["event"] for entry in logs]
    assert statuses(begin(slow, "loop", FAST)) == [200]


@pytest.mark.slow
def test_stuck_run_marks_its_model_unhealthy_until_it_ends(slow: RunningApi) -> None:
    def shown() -> tuple[bool, int]:
        info = slow.get("/models/stuck", role=Role.VIEWER).json()
        return info["healthy"], info["stuck_runs"]

    assert shown() == (True, 0)
    [answer] = begin(slow, "stuck", [5.1, 3.5, 1.4, 110.0])
    assert statuses([answer]) == [504]
    wait_for(lambda: shown() == (False, 1), seconds=5, what="the mark")
    assert slow.sample("slipway_model_stuck_runs", model="stuck", version="1") == 1
    assert slow.get("/models/iris", role=Role.VIEWER).json()["healthy"] is True
    large = json.dumps({"features": [FAST] * 1_000})
    assert len(large) > INLINE_BYTES
    other = slow.post(
        "/models/iris/predict", role=Role.USER, content=large, headers={"Content-Type": "application/json"}
    )
    assert other.status_code == 200

    wait_for(lambda: shown() == (True, 0), seconds=30, what="the end of the stuck run")
    assert slow.sample("slipway_model_stuck_runs", model="stuck", version="1") == 0


def test_models_are_measured_when_loaded(slow: RunningApi) -> None:
    inline = {name: model.inline_rows for name, model in slow.app.state.models.served.items()}

    assert inline["iris"] >= 16
    assert (inline["loop"], inline["stuck"]) == (0, 0)

"""`slipway up` as a whole: from an empty folder to served predictions, and failures afterwards."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from sklearn.datasets import load_iris

from slipway_core.bundle import MANIFEST_TAG, GoldenOutputs, digest
from slipway_core.graph import Graph
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE
from slipway_core.registry.mlflow import MlflowRegistry
from support.bundles import BIAS, NAMES, bundle_files, golden_of, linear_classifier
from support.diagnosis import diagnose
from support.servers import free_port, running
from support.signing import sign_as_is
from support.stack import PASSWORD, RunningStack, printed_commands, slipway_up
from support.versions import add_version
from support.waiting import wait_for

ROW = {"features": [5.1, 3.5, 1.4, 0.2]}
# The alias is polled about every 2 s; a version must be served within 5 s.
SWAP_SECONDS = 5.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("up") / "home"
    with slipway_up(home, password=PASSWORD) as running_stack:
        yield running_stack


def models(stack: RunningStack, *arguments: str) -> str:
    """Run `slipway models …` and return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "slipway_cli.cli", "models", *arguments],
        env={**os.environ, "MLFLOW_TRACKING_URI": stack.mlflow_url, "SLIPWAY_HOME": str(stack.home)},
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout


def promote(stack: RunningStack, version: str) -> None:
    sign_as_is(stack.mlflow_url, stack.home / "signing/bundle-key.pem", version)
    models(stack, "promote", "iris", version)


def serve_a_good_version(stack: RunningStack) -> str:
    """Register and promote a version, and wait until it replaces those of other tests."""
    version = add_version(stack.mlflow_url, "iris", bundle_files())
    promote(stack, version)
    wait_for(lambda: stack.status()["model_version"] == version, seconds=SWAP_SECONDS, what="the good version")
    return version


@dataclass
class Asked:
    """The responses to all clients, in order."""

    statuses: list[int] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    def wait_for(self, version: str) -> None:
        wait_for(lambda: self.versions[-1:] == [version], seconds=SWAP_SECONDS, what=f"version {version}")


@contextmanager
def four_clients(stack: RunningStack) -> Iterator[Asked]:
    """Predict without a pause, in four threads, until the block ends."""
    stop, asked = threading.Event(), Asked()

    def ask() -> None:
        with httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {stack.token}"}) as client:
            while not stop.is_set():
                answer = client.post("/predict", json=ROW)
                asked.statuses.append(answer.status_code)
                asked.versions.append(answer.json().get("version", ""))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        yield asked
    finally:
        stop.set()
        for client in clients:
            client.join()


def metric(stack: RunningStack, sample: str) -> float:
    page = httpx.get(f"{stack.url}/metrics").text
    return next((float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(sample + " ")), 0.0)


def test_printed_commands_work_when_pasted(stack: RunningStack) -> None:
    pasted = subprocess.run(
        ["bash", "-c", printed_commands(stack.output)], capture_output=True, text=True, check=True, timeout=30
    )

    assert json.loads(pasted.stdout)["label"] == ["setosa"]


def test_doctor_finds_no_problem_in_a_running_stack(stack: RunningStack) -> None:
    version = serve_a_good_version(stack)
    port, mlflow_port = (int(url.rpartition(":")[2]) for url in (stack.url, stack.mlflow_url))

    found = diagnose(stack.home, port=port, mlflow_port=mlflow_port)

    assert (found.exit_code, found.broken) == (0, [])
    assert found.the("API").what == "ready to predict"
    assert found.the("artifact store").status == "ok"
    assert found.the("model iris").what == f"Production is version {version}"


def test_files_are_private_and_no_command_line_has_a_secret(stack: RunningStack) -> None:
    assert PASSWORD in stack.output
    assert {"admin-password", "secret-key", "mlflow.db", "slipway.db"} <= {path.name for path in stack.home.iterdir()}
    assert [path for path in (stack.home, *stack.home.rglob("*")) if path.stat().st_mode & 0o077] == []
    assert all(PASSWORD not in word for process in stack.processes() for word in process.cmdline())


def test_predictions_of_all_iris_rows_equal_the_graph(stack: RunningStack, tmp_path: Path) -> None:
    if stack.status()["model_version"] != "1":
        promote(stack, "1")
        wait_for(lambda: stack.status()["model_version"] == "1", seconds=SWAP_SECONDS, what="the first version")
    data = load_iris()
    rows = data.data.astype(np.float32)
    with MlflowRegistry(stack.mlflow_url) as registry:
        version = registry.get_version("iris", "1")
        registry.fetch(version, MODEL_FILE, tmp_path / MODEL_FILE)
    graph = Graph((tmp_path / MODEL_FILE).read_bytes(), NAMES)

    answer = stack.call("POST", "/predict", {"features": data.data.tolist()}).json()

    expected = graph.run(rows)
    assert expected.scores is not None
    assert answer["prediction"] == expected.prediction.tolist()
    # To the last bit: a float32 is answered as its shortest decimal.
    assert np.array_equal(np.array(answer["probabilities"], dtype=np.float32), expected.scores)
    assert np.mean(np.array(answer["prediction"]) == data.target) >= 0.95


def test_promotion_fails_no_request(stack: RunningStack) -> None:
    version = add_version(stack.mlflow_url, "iris", bundle_files())

    with four_clients(stack) as asked:
        promote(stack, version)
        asked.wait_for(version)

    assert set(asked.statuses) == {200}
    assert len(asked.statuses) > 50


@pytest.mark.slow
def test_repeated_rollback_serves_earlier_versions_in_turn(stack: RunningStack) -> None:
    before = serve_a_good_version(stack)
    new = [add_version(stack.mlflow_url, "iris", bundle_files()) for _ in range(2)]
    for version in new:
        promote(stack, version)

    with four_clients(stack) as asked:
        asked.wait_for(new[1])
        told = models(stack, "rollback", "iris", "--reason", "it is wrong on Mondays")
        asked.wait_for(new[0])
        models(stack, "rollback", "iris")
        asked.wait_for(before)

    assert set(asked.statuses) == {200}
    assert told.startswith(f"Production of iris is version {new[0]} again; version {new[1]} is withdrawn")
    moves = json.loads(models(stack, "history", "iris", "--json"))
    assert [(move["action"], move["from"], move["version"]) for move in moves[:4]] == [
        ("rollback", new[0], before),
        ("rollback", new[1], new[0]),
        ("promote", new[0], new[1]),
        ("promote", before, new[0]),
    ]
    assert moves[1]["reason"] == "it is wrong on Mondays"
    assert moves[1]["by"]


@dataclass(frozen=True)
class BadVersion:
    """Files that must be rejected, and a part of the reason; a tag of None is the correct one."""

    files: dict[str, bytes]
    words: str
    tag: str | None = None


def bad_versions() -> dict[str, BadVersion]:
    whole = bundle_files()
    right = golden_of(linear_classifier())
    swapped = GoldenOutputs(prediction=right.outputs.prediction[::-1], scores=right.outputs.scores)
    return {
        "a damaged artifact": BadVersion({**whole, MODEL_FILE: whole[MODEL_FILE][:-20]}, "model.onnx has the digest"),
        "a wrong digest": BadVersion(whole, "manifest.json has the digest", digest(b"another manifest")),
        "wrong golden rows": BadVersion(
            bundle_files(golden=right.model_copy(update={"outputs": swapped})), "for golden row 0, the graph's"
        ),
        "another graph than was evaluated": BadVersion(
            bundle_files(model=linear_classifier(BIAS[::-1].copy()), golden=right), "golden row"
        ),
        "no graph at all": BadVersion(bundle_files(model=b"not a graph", golden=right), "the graph cannot be loaded"),
        "a missing file": BadVersion({k: v for k, v in whole.items() if k != GOLDEN_FILE}, "golden.json"),
        "no tag": BadVersion(whole, f"no SHA-256 in its tag {MANIFEST_TAG}", ""),
    }


BAD_VERSIONS = bad_versions()


# Unit tests cover every case; `make test` runs one with the stack, and `make test-slow` all.
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(bad, id=name, marks=[] if name == "wrong golden rows" else [pytest.mark.slow])
        for name, bad in BAD_VERSIONS.items()
    ],
)
def test_bad_version_is_reported_and_never_served(stack: RunningStack, bad: BadVersion) -> None:
    before = stack.status()["model_version"]
    failures = metric(stack, 'slipway_model_load_failures_total{model="iris"}')
    version = add_version(stack.mlflow_url, "iris", bad.files, tag=bad.tag)

    promote(stack, version)
    answer = stack.call("POST", "/models/iris/reload").raise_for_status().json()

    failed = answer["model"]["failed_load"]
    assert failed["version"] == version
    assert bad.words in failed["reason"]
    assert not answer["changed"]
    assert answer["model"]["model_version"] == before
    assert stack.call("POST", "/predict", ROW).json()["version"] == before
    assert metric(stack, 'slipway_model_load_failures_total{model="iris"}') > failures
    assert metric(stack, 'slipway_model_load_failing{model="iris"}') == 1
    assert any(
        event["event"] == "model_load_failed" and event["version"] == version and bad.words in event["reason"]
        for event in map(json.loads, stack.api_log.splitlines())
    )


def test_good_version_clears_the_failure(stack: RunningStack) -> None:
    bad = BAD_VERSIONS["no tag"]
    promote(stack, add_version(stack.mlflow_url, "iris", bad.files, tag=bad.tag))
    stack.call("POST", "/models/iris/reload").raise_for_status()
    assert metric(stack, 'slipway_model_load_failing{model="iris"}') == 1

    serve_a_good_version(stack)

    assert stack.status()["failed_load"] is None
    assert metric(stack, 'slipway_model_load_failing{model="iris"}') == 0


@pytest.mark.slow
def test_killed_registry_is_reported_and_restarted(stack: RunningStack) -> None:
    before = stack.status()["model_version"]
    server = next(p for p in stack.processes() if any("mlflow_server" in word for word in p.cmdline()))

    server.kill()

    def registry() -> dict[str, object]:
        state = stack.status()["registry"]
        assert isinstance(state, dict)
        return state

    wait_for(lambda: not registry()["reachable"], what="the loss of the registry to be told")
    assert registry()["reason"] == "the model registry cannot be reached"
    assert metric(stack, "slipway_registry_up") == 0
    assert "registry_unreachable" in stack.api_log
    answer = stack.call("POST", "/predict", ROW)
    assert (answer.status_code, answer.json()["version"]) == (200, before)
    wait_for(lambda: registry()["reachable"], seconds=60, what="the registry to come back")
    assert stack.call("POST", "/predict", ROW).json()["version"] == before


def test_second_stack_on_the_same_folder_is_rejected(stack: RunningStack, tmp_path: Path) -> None:
    ports = [f"--port={free_port()}", f"--mlflow-port={free_port()}"]
    command = [sys.executable, "-m", "slipway_cli.cli", "up", f"--home={stack.home}", *ports]
    log = tmp_path / "second.log"

    with running(command, folder=tmp_path, log=log) as second:
        assert second.wait(60) == 1

    assert "a stack is already running in" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_signal_ends_all_and_the_next_start_serves_from_cache(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with slipway_up(home, password=PASSWORD) as stack:
        processes = stack.processes()
        assert len(processes) >= 3

        stack.process.send_signal(signal.SIGTERM)

        assert stack.process.wait(30) == 0
        assert [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        assert "Everything has stopped." in stack.output

    with slipway_up(home, log="again.log") as again:
        loaded = [event for event in map(json.loads, again.api_log.splitlines()) if event["event"] == "model_loaded"]
        assert any(event["source"] == "cache" and event["version"] == "1" for event in loaded)
        assert PASSWORD not in again.output  # shown once
        assert again.call("POST", "/predict", ROW).json()["version"] == "1"
        wait_for(lambda: again.status()["source"] == "registry", seconds=60, what="the registry to confirm it")
        # Nothing was trained again.
        with MlflowRegistry(again.mlflow_url) as registry:
            assert len(registry.list_versions("iris")) == 1
        again_processes = again.processes()
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(30) == 0
        assert [p for p in again_processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.slow
def test_killed_stack_leaves_no_process_and_can_restart(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with slipway_up(home, password=PASSWORD) as stack:
        processes = stack.processes()

        stack.process.kill()
        stack.process.wait()

        def left() -> list[psutil.Process]:
            return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

        wait_for(lambda: left() == [], seconds=20, what="the end of the children")

    with slipway_up(home, log="again.log") as again:
        assert again.call("POST", "/predict", ROW).json()["version"] == "1"

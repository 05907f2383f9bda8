"""Measure the overhead of a prediction on the real service, with a random forest of iris.

The server uses one core, its shipper and the client another. Tokens, validation, metrics and the prediction log are
enabled. Compared servers take turns within one run, because the machine's speed varies. `make bench` runs this.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import orjson
from benchmarks.hot_path.client import Load, load, request
from benchmarks.servers import free_port, is_up, process, report, wait_until

from slipway_api.prediction_log.journal import SUFFIX
from slipway_core.graph import Graph
from slipway_core.manifest import MODEL_FILE, Manifest

PROGRAMS = Path(sys.executable).parent
PASSWORD = "measured-once-only"  # noqa: S105  # of a temporary account
ROW = [5.1, 3.5, 1.4, 0.2]
CONNECTIONS = 16
MANY_ROWS = 10_000
SERVER_CORE, CLIENT_CORE = 0, 1


@dataclass(frozen=True)
class Server:
    """A server to measure."""

    pid: int
    port: int
    token: str = ""
    journal: Path = Path()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a client's requests."""
        return {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.token}"} if self.token else {})}

    def predict(self, features: object) -> bytes:
        """Return a request for a prediction."""
        return request("/predict", json.dumps({"features": features}).encode(), self.headers)

    def shipper(self) -> int:
        """Return the process id of its shipper."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()  # children belong to the thread that started them
        children = [child for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]
        return next(int(child) for child in children if b"ship" in Path(f"/proc/{child}/cmdline").read_bytes())

    def backlog(self) -> int:
        """Return the size of the journal in bytes: predictions not in the database yet."""
        return sum(path.stat().st_size for path in self.journal.iterdir() if path.suffix == SUFFIX)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def forest(folder: Path) -> Iterator[str]:
    """Train a random forest of iris in a temporary registry; yield the registry's address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "slipway_cli.embedded.mlflow_server", f"--port={port}"]
    with process(command, folder / "mlflow.log", environment):
        wait_until(lambda: is_up(f"{url}/health"))
        subprocess.run(  # noqa: S603
            [str(PROGRAMS / "slipway"), "train", "iris", "--set", "candidates=random-forest"],
            env={**os.environ, "MLFLOW_TRACKING_URI": url},
            capture_output=True,
            check=True,
        )
        yield url


@contextmanager
def api(folder: Path, registry: str, name: str, **variables: str) -> Iterator[Server]:
    """Run the service on the server's core, with a separate database and cache."""
    port = free_port()
    environment = {
        "SECRET_KEY": "".join(chr(33 + byte % 94) for byte in os.urandom(48)),
        "DATABASE_URL": f"sqlite:///{folder / f'{name}.db'}",
        "MLFLOW_TRACKING_URI": registry,
        "SLIPWAY_ADMIN_PASSWORD": PASSWORD,
        "SLIPWAY_CACHE_DIR": str(folder / f"{name}-cache"),
        "SLIPWAY_JOURNAL_DIR": str(folder / f"{name}-journal"),
        "SLIPWAY_PORT": str(port),
        **variables,
    }
    program = str(PROGRAMS / "slipway-api")
    subprocess.run([program, "migrate"], env={**os.environ, **environment}, check=True)  # noqa: S603
    with process([program, "serve"], folder / f"{name}.log", environment, {SERVER_CORE}) as pid:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_up(f"{url}/health/ready"))
        wait_until(lambda: _logged_in(url).is_success)
        server = Server(pid, port, _logged_in(url).json()["access_token"], folder / f"{name}-journal")
        os.sched_setaffinity(server.shipper(), {CLIENT_CORE})
        yield server


@contextmanager
def empty(folder: Path) -> Iterator[Server]:
    """Run FastAPI's empty validated POST on the same core."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.hot_path.empty", str(port)]
    with process(command, folder / "empty.log", cores={SERVER_CORE}) as pid:
        wait_until(lambda: is_up(f"http://127.0.0.1:{port}/health/ready"))
        yield Server(pid, port)


def _logged_in(url: str) -> httpx.Response:
    return httpx.post(f"{url}/token", data={"username": "admin", "password": PASSWORD}, timeout=10)


def measured(server: Server, messages: list[bytes], seconds: float) -> tuple[Load, float]:
    """Return a load's result and the server's CPU seconds per response.

    Every response must be 200: a fast error would distort the result.
    """
    before = cpu_seconds(server.pid)
    result = load(server.port, messages, CONNECTIONS, seconds=seconds)
    if set(result.statuses) != {200}:
        raise SystemExit(f"some requests failed; responses by status: {result.statuses}")
    return result, (cpu_seconds(server.pid) - before) / sum(result.statuses.values())


def measure_single_rows(ours: Server, theirs: Server, rounds: int, seconds: float) -> None:
    """Compare one row per request with FastAPI's empty POST."""
    rates: dict[Server, list[float]] = {ours: [], theirs: []}
    costs: dict[Server, list[float]] = {ours: [], theirs: []}
    for _ in range(rounds):
        for server in (ours, theirs):
            result, cost = measured(server, [server.predict(ROW)], seconds)
            rates[server].append(result.per_second)
            costs[server].append(cost)
    for server, name in ((ours, "/predict, one row"), (theirs, "FastAPI's empty validated POST")):
        report(f"{name}: requests per second", statistics.median(rates[server]), "/s")
        report(f"{name}: CPU per request", statistics.median(costs[server]) * 1e6, "µs")
    ratios = [our / their for our, their in zip(rates[ours], rates[theirs], strict=True)]
    report("/predict relative to the empty POST, median of the rounds", statistics.median(ratios), "")
    report("/predict relative to the empty POST, worst round", min(ratios), "")


def measure_many_rows(ours: Server, cache: Path, rounds: int) -> None:
    """Compare 10,000 rows in one request with only parsing, graph and serialisation, on the same core."""
    bundle = next(path.parent for path in cache.rglob(MODEL_FILE))
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_bytes())
    graph = Graph((bundle / MODEL_FILE).read_bytes(), manifest.graph)
    rows = (np.random.default_rng(0).random((MANY_ROWS, 4)) * 8).round(2).tolist()
    body = orjson.dumps({"features": rows})
    message = request("/predict", body, ours.headers)

    def alone() -> float:
        began = time.perf_counter()
        matrix = np.array(orjson.loads(body)["features"], dtype=np.float32)
        outputs = graph.run(matrix)
        orjson.dumps(
            {"prediction": outputs.prediction, "probabilities": outputs.scores}, option=orjson.OPT_SERIALIZE_NUMPY
        )
        return time.perf_counter() - began

    shares = []
    times = []
    for _ in range(rounds):
        os.sched_setaffinity(0, {SERVER_CORE})
        least = min(alone() for _ in range(5))
        os.sched_setaffinity(0, {CLIENT_CORE})
        result = load(ours.port, [message], 1, count=5)
        times.append(min(result.latencies))
        shares.append(least / times[-1])
    report(f"{MANY_ROWS} rows in one request", statistics.median(times) * 1e3, "ms")
    report("share of orjson + graph + orjson", statistics.median(shares) * 100, "%")


def measure_log(logging: Server, silent: Server, rounds: int, seconds: float) -> None:
    """Compare the CPU of the API's process with and without the prediction log; report the shipper's CPU as well."""
    shares, shipped = [], []
    shipper = logging.shipper()
    for _ in range(rounds):
        _, without = measured(silent, [silent.predict(ROW)], seconds)
        before = cpu_seconds(shipper)
        result, cost = measured(logging, [logging.predict(ROW)], seconds)
        wait_until(lambda: not logging.backlog())
        shipped.append((cpu_seconds(shipper) - before) / sum(result.statuses.values()))
        shares.append(cost / without - 1)
    report("prediction log: additional CPU of the API's process", statistics.median(shares) * 100, "%")
    report("prediction log: CPU of the shipper per request", statistics.median(shipped) * 1e6, "µs")


def measure_wrong_passwords(ours: Server, rounds: int, seconds: float) -> None:
    """Compare predictions during 1,000 wrong passwords with those right before and after."""
    shares = []
    for number in range(rounds):
        before, _ = measured(ours, [ours.predict(ROW)], seconds)
        attack = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "benchmarks.hot_path.attack", str(ours.port), str(number)], stdout=subprocess.PIPE
        )
        answered, began = 0, time.perf_counter()
        while attack.poll() is None:
            result, _ = measured(ours, [ours.predict(ROW)], 0.25)
            answered += sum(result.statuses.values())
        during = answered / (time.perf_counter() - began)
        after, _ = measured(ours, [ours.predict(ROW)], seconds)
        shares.append(during / statistics.mean([before.per_second, after.per_second]))
    report("predictions during 1,000 wrong passwords, relative to normal", statistics.median(shares) * 100, "%")
    report("predictions during 1,000 wrong passwords, worst round", min(shares) * 100, "%")


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of a turn")
    given = parser.parse_args()
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004
        raise SystemExit("this benchmark needs Linux and two cores: one for the server, one for the client")
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        folder = Path(name)
        with (
            forest(folder) as registry,
            api(folder, registry, "logging") as ours,
            api(folder, registry, "silent", SLIPWAY_PREDICTION_LOG="false") as silent,
            empty(folder) as theirs,
        ):
            os.sched_setaffinity(0, {CLIENT_CORE})
            for server in (ours, silent, theirs):
                measured(server, [server.predict(ROW)], 1.0)
            measure_single_rows(ours, theirs, given.rounds, given.seconds)
            measure_many_rows(ours, folder / "logging-cache", given.rounds)
            measure_log(ours, silent, given.rounds, given.seconds)
            measure_wrong_passwords(ours, min(given.rounds, 3), given.seconds)


if __name__ == "__main__":
    main()

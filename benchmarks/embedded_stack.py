"""Measure start times, a hot swap, and the API's memory with the real embedded stack.

`make bench` runs this. The figures depend on the machine and its load: compare only figures of one run.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from benchmarks.servers import free_port, is_up, process, report, wait_until

from slipway_core.registry.events import history
from slipway_core.registry.mlflow import MlflowRegistry

PASSWORD = "measured-once-only"  # noqa: S105  # of a temporary account
ROW = {"features": [5.1, 3.5, 1.4, 0.2]}
CLIENTS = 4


class Client:
    """The administrator of one API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._token = ""

    def is_ready(self) -> bool:
        """Return whether the API is ready."""
        return is_up(f"{self.url}/health/ready")

    def predicts(self) -> bool:
        """Return whether a prediction succeeds; log in first if necessary."""
        try:
            if not self._token:
                answer = httpx.post(f"{self.url}/token", data={"username": "admin", "password": PASSWORD}, timeout=5)
                self._token = answer.json().get("access_token", "")
            return self.predict(httpx.Client()).is_success
        except httpx.HTTPError:
            return False

    def predict(self, client: httpx.Client) -> httpx.Response:
        """Request one prediction."""
        headers = {"Authorization": f"Bearer {self._token}"}
        return client.post(f"{self.url}/predict", json=ROW, headers=headers, timeout=5)


def pss_megabytes(pid: int) -> float | None:
    """Return a process's proportional set size in MB; None if the system does not report it."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def measure_starts(home: Path, rounds: int) -> None:
    """Measure the time from the command to the first prediction: first in an empty folder, then in the same one."""
    for number in range(rounds + 1):
        port, mlflow_port = free_port(), free_port()
        command = [str(Path(sys.executable).with_name("slipway")), "up", f"--home={home}", f"--port={port}"]
        command += [f"--mlflow-port={mlflow_port}"]
        client = Client(f"http://127.0.0.1:{port}")
        with process(command, home.parent / "up.log", {"SLIPWAY_ADMIN_PASSWORD": PASSWORD}):
            seconds = wait_until(client.predicts)
            label = "first start to first prediction" if number == 0 else "next start to first prediction"
            report(f"slipway up: {label}", seconds, "s")
            if number == rounds:
                measure_swap(client, home, f"http://127.0.0.1:{mlflow_port}")
                measure_api(home, f"http://127.0.0.1:{mlflow_port}", rounds)


def measure_swap(client: Client, home: Path, mlflow_url: str) -> None:
    """Train again under load; measure the time from the promotion to the first response of the new version."""
    wait_until(lambda: is_up(f"{mlflow_url}/health"))
    answers: list[tuple[float, int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client() as connection:
            while not stop.is_set():
                answer = client.predict(connection)
                answers.append((time.time(), answer.status_code, answer.json().get("version", "")))

    with httpx.Client() as connection:
        before = client.predict(connection).json()["version"]
    askers = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for asker in askers:
        asker.start()
    environment = {**os.environ, "MLFLOW_TRACKING_URI": mlflow_url, "SLIPWAY_HOME": str(home)}
    subprocess.run(  # noqa: S603
        [str(Path(sys.executable).with_name("slipway")), "train", "iris"],
        env=environment,
        capture_output=True,
        check=True,
    )
    with MlflowRegistry(mlflow_url) as registry:
        promoted = history(registry.get_model("iris").tags)[-1].at.timestamp()
    version = str(int(before) + 1)
    wait_until(lambda: bool(answers) and answers[-1][2] == version, seconds=30)
    stop.set()
    for asker in askers:
        asker.join()
    first = min(at for at, _, answered in answers if answered == version)
    report("hot swap under load: promotion to first new response", first - promoted, "s")
    report("hot swap under load: failed requests", sum(status != httpx.codes.OK for _, status, _ in answers), "")
    report("hot swap under load: requests", len(answers), "")


def measure_api(home: Path, mlflow_url: str, rounds: int) -> None:
    """Measure the time from the API's start until it is ready, with a reachable registry and an empty cache."""
    for number in range(rounds):
        port = free_port()
        environment = {
            "SECRET_KEY": "".join(chr(33 + byte % 94) for byte in os.urandom(48)),
            "DATABASE_URL": f"sqlite:///{home / 'slipway.db'}",
            "MLFLOW_TRACKING_URI": mlflow_url,
            "SLIPWAY_TRUSTED_KEYS": str(home / "signing" / "trusted-keys"),
            "SLIPWAY_CACHE_DIR": str(home / f"measured-{number}"),
            "SLIPWAY_PORT": str(port),
        }
        command = [str(Path(sys.executable).with_name("slipway-api")), "serve"]
        with process(command, home.parent / "api.log", environment) as pid:
            report("slipway-api serve: start to ready", wait_until(Client(f"http://127.0.0.1:{port}").is_ready), "s")
            time.sleep(3)  # after the first polls of registry and accounts
            report("slipway-api serve: memory (PSS) before a login", pss_megabytes(pid), "MB")


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="number of further starts to measure")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        measure_starts(Path(folder) / "home", rounds)


if __name__ == "__main__":
    main()

"""A real Prometheus for tests."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.quick_monitoring import write_quick_monitoring
from support.servers import free_port, running, wait_until_ready


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the current samples of an expression."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10).raise_for_status()
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with the result of its last evaluation."""
        answer = httpx.get(f"{self.url}/api/v1/rules", timeout=10).raise_for_status()
        return [rule for group in answer.json()["data"]["groups"] for rule in group["rules"]]


@contextmanager
def prometheus(folder: Path, addresses: Mapping[str, str]) -> Iterator[Prometheus]:
    """Run Prometheus with the quick configuration; skip the test if it is not installed.

    Args:
        folder: where to write all files.
        addresses: replacement addresses of the compose stack's targets; other targets do not exist.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed (Debian: prometheus)")
    port, log = free_port(), folder / "prometheus.log"
    own = f"127.0.0.1:{port}"
    command = [
        program,
        f"--config.file={write_quick_monitoring(folder, {'localhost:9090': own, **addresses})}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={own}",
        # Alerts that fire before Alertmanager is found are sent again after this time; the default is a minute.
        "--rules.alert.resend-delay=1s",
    ]
    with running(command, folder=folder, log=log) as process:
        wait_until_ready(process, f"http://{own}/-/ready", log=log, seconds=30, what="Prometheus")
        yield Prometheus(f"http://{own}")

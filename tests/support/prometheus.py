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
    """One that runs."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples that an expression gives now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10).raise_for_status()
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with what came of its last evaluation."""
        answer = httpx.get(f"{self.url}/api/v1/rules", timeout=10).raise_for_status()
        return [rule for group in answer.json()["data"]["groups"] for rule in group["rules"]]


@contextmanager
def prometheus(folder: Path, addresses: Mapping[str, str]) -> Iterator[Prometheus]:
    """Run one on the quick configuration; the test is skipped where it is not installed.

    Args:
        folder: what all of it is written to.
        addresses: where targets of the compose stack are instead; those that are not named are not there.
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
        # What fires before Alertmanager is found is told to nobody, and again after this; a minute by default.
        "--rules.alert.resend-delay=1s",
    ]
    with running(command, folder=folder, log=log) as process:
        wait_until_ready(process, f"http://{own}/-/ready", log=log, seconds=30, what="Prometheus")
        yield Prometheus(f"http://{own}")

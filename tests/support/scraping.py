"""A real Prometheus, and the installed exporters that it scrapes."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.servers import free_port, running, wait_until_ready

# The names in Debian, and those of the projects.
PROGRAMS = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "node": ("prometheus-node-exporter", "node_exporter"),
    "postgres": ("prometheus-postgres-exporter", "postgres_exporter"),
    "blackbox": ("prometheus-blackbox-exporter", "blackbox_exporter"),
}


def program(name: str) -> str | None:
    """Return the path of a program; None if it is not installed."""
    return next((path for one in PROGRAMS[name] if (path := shutil.which(one))), None)


def program_or_skip(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = program(name)
    if found is None:
        pytest.skip(f"{PROGRAMS[name][0]} is not installed")
    return found


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    client: httpx.Client

    def ask(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series in the result of a query."""
        answer = self.client.post("/api/v1/query", data={"query": expr}).json()
        assert answer["status"] == "success", f"{answer.get('error')}: {expr}"
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    def number(self, expr: str) -> float:
        """Return the value of the only series in the result of a query."""
        [(_, number)] = self.ask(expr)
        return number


@contextmanager
def prometheus(folder: Path, jobs: Sequence[Mapping[str, Any]]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes itself and some jobs every second.

    Args:
        folder: an empty folder.
        jobs: additional entries of `scrape_configs`.
    """
    port = free_port()
    url, log, config = f"http://127.0.0.1:{port}", folder / "prometheus.log", folder / "prometheus.yml"
    itself = job("prometheus", f"127.0.0.1:{port}")
    config.write_text(
        yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [itself, *jobs]}), encoding="utf-8"
    )
    command = [
        program_or_skip("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, folder=folder, log=log) as process:
        wait_until_ready(process, f"{url}/-/ready", log=log, seconds=30, what="Prometheus")
        with httpx.Client(base_url=url, timeout=30) as client:
            yield Prometheus(client)


def job(name: str, target: str, **more: Any) -> dict[str, Any]:
    """Return a job of Prometheus' configuration that scrapes one target."""
    return {"job_name": name, "static_configs": [{"targets": [target]}], **more}


@contextmanager
def exporters(folder: Path, *, probed: Mapping[str, str], database: str | None) -> Iterator[list[dict[str, Any]]]:
    """Run the installed exporters; yield the jobs that scrape them.

    Args:
        folder: an empty folder.
        probed: the targets of the blackbox exporter: a URL for each instance's name.
        database: PostgreSQL's address, or None.
    """
    jobs: list[dict[str, Any]] = []
    with ExitStack() as stack:

        def start(name: str, *arguments: str, port: int, environment: Mapping[str, str] | None = None) -> None:
            command, log = [program(name) or "", *arguments], folder / f"{name}.log"
            process = stack.enter_context(running(command, folder=folder, log=log, environment=environment))
            wait_until_ready(process, f"http://127.0.0.1:{port}/metrics", log=log, seconds=30, what=name)

        def listen() -> tuple[int, str]:
            port = free_port()
            return port, f"--web.listen-address=127.0.0.1:{port}"

        if program("node"):
            port, address = listen()
            start("node", address, port=port)
            jobs.append(job("node", f"127.0.0.1:{port}"))
        if program("postgres") and database:
            port, address = listen()
            start("postgres", address, port=port, environment={"DATA_SOURCE_NAME": f"{database}?sslmode=disable"})
            jobs.append(job("postgres", f"127.0.0.1:{port}"))
        if program("alertmanager"):
            port, address = listen()
            config = folder / "alertmanager.yml"
            config.write_text(json.dumps({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}))
            storage = f"--storage.path={folder / 'alertmanager'}"
            start("alertmanager", f"--config.file={config}", storage, "--cluster.listen-address=", address, port=port)
            jobs.append(job("alertmanager", f"127.0.0.1:{port}"))
        if program("blackbox"):
            port, address = listen()
            config = folder / "blackbox.yml"
            config.write_text(json.dumps({"modules": {"http_2xx": {"prober": "http", "timeout": "5s"}}}))
            start("blackbox", f"--config.file={config}", address, port=port)
            jobs.append(_probe(f"127.0.0.1:{port}", probed))
        yield jobs


def _probe(blackbox: str, probed: Mapping[str, str]) -> dict[str, Any]:
    targets = [{"targets": [url], "labels": {"instance": name}} for name, url in probed.items()]
    return {
        "job_name": "probe",
        "metrics_path": "/probe",
        "params": {"module": ["http_2xx"]},
        "static_configs": targets,
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"target_label": "__address__", "replacement": blackbox},
        ],
    }
